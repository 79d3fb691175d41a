// Command pause is process 1 of the sealed namespaces and of every pod sandbox on the e2e node.
// A process 1 has to reap orphans, or containerd's shims pile up as zombies until the pid limit.
package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	orphaned := make(chan os.Signal, 1)
	signal.Notify(orphaned, syscall.SIGCHLD)

	// Standard input is a pipe whose other end only the e2e runner holds. Its end is noticed even
	// when the runner was killed with SIGKILL, and the death of process 1 takes the whole node along.
	if len(os.Args) > 1 && os.Args[1] == "--until-eof" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
	}

	for {
		select {
		case <-ended:
			os.Exit(0)
		case <-orphaned:
			reap()
		}
	}
}

func reap() {
	for {
		pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
	}
}

import { readdirSync, readlinkSync } from 'node:fs'
import { bind } from './libc.ts'

const CLONE_NEWNET = 0x4000_0000

const unshare = bind('unshare', 'int unshare(int)')

/**
 * Moves the calling thread, Node's main thread, into a network namespace of its own with no address in it.
 * The process's other threads stay where they are: unshare(2) is a matter of one thread. Throws: SyscallError.
 */
export function unshareNetwork(): void {
  unshare(CLONE_NEWNET)
}

/** The network namespaces of this process's threads, each once, such as `net:[4026531840]`. */
export function networkNamespaces(): readonly string[] {
  const tasks = readdirSync('/proc/self/task')
  return [...new Set(tasks.map((task) => readlinkSync(`/proc/self/task/${task}/ns/net`)))]
}

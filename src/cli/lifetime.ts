import type { Logger } from '../observability/log.ts'

/** What runs until it is told to stop. */
export interface Running {
  stop(): Promise<void>
}

/** A stop that takes longer has hung; kubelet would kill the container at 30 s. */
const STOP_TIMEOUT_MS = 20_000

/**
 * Aborted by SIGTERM or SIGINT; a second signal ends the process at once. As the first process of a container
 * there is no default action: without a handler SIGTERM would be ignored.
 */
export function listenForStop(): AbortSignal {
  const stop = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      process.once(signal, () => process.exit(1))
      stop.abort()
    })
  }
  return stop.signal
}

/** Settles when the signal is aborted. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => {
      resolve()
    })
  })
}

/** Stops in order, or ends the process where that takes too long. */
export async function stopInTime(running: Running, log: Logger): Promise<void> {
  const bound = setTimeout(() => {
    log.error({}, 'stop took too long')
    process.exit(1)
  }, STOP_TIMEOUT_MS)
  await running.stop()
  clearTimeout(bound)
}

/** Runs until SIGTERM or SIGINT, then stops in order. Answers the exit code. */
export async function runUntilSignal(running: Running, log: Logger): Promise<number> {
  await untilAborted(listenForStop())
  log.info({}, 'stop asked for')
  await stopInTime(running, log)
  return 0
}

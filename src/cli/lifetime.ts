import type { Logger } from '../observability/log.ts'

/** What runs until it is told to stop. */
export interface Running {
  stop(): Promise<void>
}

/** A stop that takes longer has hung; kubelet would kill the container at 30 s. */
const STOP_TIMEOUT_MS = 20_000

/**
 * Runs until SIGTERM or SIGINT, then stops in order; a second signal ends the process at once. As the first
 * process of a container there is no default action: without a handler SIGTERM would be ignored.
 */
export async function runUntilSignal(running: Running, log: Logger): Promise<number> {
  // SIGUSR1 would open a debugger, and with it the memory.
  process.on('SIGUSR1', () => undefined)
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.once(signal, () => {
        process.once(signal, () => process.exit(1))
        resolve()
      })
    }
  })
  log.info({}, 'stop asked for')
  const bound = setTimeout(() => {
    log.error({}, 'stop took too long')
    process.exit(1)
  }, STOP_TIMEOUT_MS)
  await running.stop()
  clearTimeout(bound)
  return 0
}

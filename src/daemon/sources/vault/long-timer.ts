import type { Clock } from '../../../core/clock.ts'

/** Node takes 2^31 ms and more for 1 ms, and Vault's usual longest life is 32 days. */
export const MAX_STEP_MS = 24 * 3_600_000

/** One alarm that can be set as far off as anybody likes. */
export class LongTimer {
  readonly #clock: Clock
  #cancel: () => void = () => undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Calls back once after `delayMs`; an alarm that was set before is forgotten. */
  start(delayMs: number, callback: () => void): void {
    this.stop()
    this.#cancel =
      delayMs <= MAX_STEP_MS
        ? this.#clock.after(delayMs, callback)
        : this.#clock.after(MAX_STEP_MS, () => {
            this.start(delayMs - MAX_STEP_MS, callback)
          })
  }

  stop(): void {
    this.#cancel()
    this.#cancel = () => undefined
  }
}

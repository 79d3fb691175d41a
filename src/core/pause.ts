import type { Clock } from './clock.ts'

/**
 * A loop's pause that somebody else may cut short. A promise that lives as long as the loop would do as
 * well, but every race against it leaves something behind until it settles.
 */
export class Pause {
  readonly #clock: Clock
  #end: (() => void) | undefined
  #isWoken = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Ends after `delayMs`, with `wake`, or with the signal; never throws. */
  async wait(delayMs: number, signal: AbortSignal): Promise<void> {
    if (!this.#isWoken && !signal.aborted) await this.#sleep(delayMs, signal)
    this.#isWoken = false
  }

  /** Ends the pause that is on, or the next one at once. */
  wake(): void {
    this.#isWoken = true
    this.#end?.()
  }

  #sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        cancel()
        signal.removeEventListener('abort', end)
        this.#end = undefined
        resolve()
      }
      const cancel = this.#clock.after(delayMs, end)
      this.#end = end
      signal.addEventListener('abort', end, { once: true })
    })
  }
}

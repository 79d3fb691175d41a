import { sleep, type Clock } from './clock.ts'

/**
 * A loop's pause that somebody else may cut short. A promise that lives as long as the loop would do as
 * well, but every race against it leaves something behind until it settles.
 */
export class Pause {
  readonly #clock: Clock
  #current: AbortController | undefined
  #isWoken = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Ends after `delayMs`, with `wake`, or with the signal; never throws. */
  async wait(delayMs: number, signal: AbortSignal): Promise<void> {
    const own = new AbortController()
    this.#current = own
    if (this.#isWoken) own.abort()
    await sleep(this.#clock, delayMs, AbortSignal.any([signal, own.signal])).catch(() => undefined)
    this.#isWoken = false
    this.#current = undefined
  }

  /** Ends the pause that is on, or the next one at once. */
  wake(): void {
    this.#isWoken = true
    this.#current?.abort()
  }
}

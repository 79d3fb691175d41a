import type { Clock } from '../../core/clock.ts'

export interface Rate {
  /** What may be taken at once after a rest. */
  readonly burst: number
  readonly everyMs: number
}

/** Bounds how often something is done, without making anybody wait. */
export class TokenBucket {
  readonly #clock: Clock
  readonly #rate: Rate
  #left: number
  #filledAtMs: number

  constructor(clock: Clock, rate: Rate) {
    this.#clock = clock
    this.#rate = rate
    this.#left = rate.burst
    this.#filledAtMs = clock.now()
  }

  /** Reports whether it may be done now. */
  take(): boolean {
    const { burst, everyMs } = this.#rate
    // A clock that was set back fills nothing, and takes nothing away.
    const restMs = Math.max(0, this.#clock.now() - this.#filledAtMs)
    this.#filledAtMs = this.#clock.now()
    this.#left = Math.min(burst, this.#left + restMs / everyMs)
    if (this.#left < 1) return false
    this.#left -= 1
    return true
  }
}

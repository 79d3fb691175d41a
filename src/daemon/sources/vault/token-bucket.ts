import { sleep, type Clock } from '../../../core/clock.ts'

/** Whoever would wait longer meets its own deadline before; more than that is a clock that was set back. */
const MAX_DEBT_MS = 10 * 60_000

/** So many calls in a second and no more; after a pause, a second's worth may begin at once. */
export class TokenBucket {
  readonly #intervalMs: number
  readonly #burstMs: number
  readonly #clock: Clock
  /** When the calls let through so far would have been through one by one. */
  #paidUntilMs = -Infinity

  constructor(perSecond: number, clock: Clock) {
    this.#intervalMs = 1_000 / perSecond
    this.#burstMs = Math.max(1_000, this.#intervalMs)
    this.#clock = clock
  }

  /** Waits for a turn. Throws: the signal's reason; the turn is lost then. */
  async take(signal: AbortSignal): Promise<void> {
    const nowMs = this.#clock.now()
    if (this.#paidUntilMs < nowMs || this.#paidUntilMs > nowMs + MAX_DEBT_MS) {
      this.#paidUntilMs = nowMs
    }
    this.#paidUntilMs += this.#intervalMs
    const waitMs = this.#paidUntilMs - this.#burstMs - nowMs
    if (waitMs > 0) await sleep(this.#clock, waitMs, signal)
  }
}

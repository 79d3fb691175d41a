import type { Clock } from '../../core/clock.ts'

/** Watches that the daemon opens: so many at once, and one more each so often. */
const AT_ONCE = 10
const EVERY_MS = 20

/**
 * Spreads what would otherwise happen to all watches of a node in one moment: an API server that restarts
 * ends them together, and every other node's as well.
 */
export class Pace {
  readonly #clock: Clock
  /** When all that was granted so far would have been used up at one in EVERY_MS. */
  #paidUntilMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Takes the next turn, and answers how long to wait for it. */
  takeMs(): number {
    const nowMs = this.#clock.now()
    // A clock that was set back must not make anybody wait until it has caught up.
    const furthestMs = nowMs + MAX_WAIT_MS
    const paidMs = Math.min(Math.max(this.#paidUntilMs, nowMs), furthestMs)
    this.#paidUntilMs = paidMs + EVERY_MS
    return Math.max(0, paidMs - nowMs - (AT_ONCE - 1) * EVERY_MS)
  }
}

const MAX_WAIT_MS = 30_000

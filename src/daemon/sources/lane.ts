import { LatchkeyError } from '../../core/errors.ts'
import type { Workload } from '../identity/workload.ts'
import type { Value } from './source.ts'
import { wipeValue } from './value-bytes.ts'

/** One caller, and what it waits for. */
export interface Seat {
  readonly workload: Workload
  readonly landed: PromiseWithResolvers<Value>
}

/**
 * Everybody who wants one secret with one identity: those aboard the fetch that is under way, and those
 * who came after it began and wait for the next.
 */
export class Lane {
  #boarding = new Set<Seat>()
  #aboard = new Set<Seat>()
  #abandoned = new AbortController()

  /** A seat in the next fetch to begin. */
  board(workload: Workload): Seat {
    const seat = { workload, landed: Promise.withResolvers<Value>() }
    this.#boarding.add(seat)
    return seat
  }

  /** The caller waits no longer. A fetch that nobody waits for is given up. */
  leave(seat: Seat): void {
    this.#boarding.delete(seat)
    const wasAboard = this.#aboard.delete(seat)
    if (wasAboard && this.#aboard.size === 0) {
      this.#abandoned.abort(new LatchkeyError('Timeout', 'nobody waits for it any more'))
    }
    // It may have been served in this very moment.
    seat.landed.promise.then(wipeValue, () => undefined)
  }

  get isWaitedFor(): boolean {
    return this.#boarding.size > 0
  }

  /** Takes aboard all who wait. The signal aborts when the last of them has left. */
  takeOff(): AbortSignal {
    this.#aboard = this.#boarding
    this.#boarding = new Set()
    this.#abandoned = new AbortController()
    return this.#abandoned.signal
  }

  aboard(): readonly Seat[] {
    return [...this.#aboard]
  }

  /** Whoever aboard has the newest tokens, for they live longest; the doubted only where there are no others. */
  newest(isDoubted: (seat: Seat) => boolean = () => false): Seat | undefined {
    const [doubted = [], fine = []] = [true, false].map((which) =>
      this.aboard().filter((seat) => isDoubted(seat) === which),
    )
    const [newest] = (fine.length > 0 ? fine : doubted).toSorted(
      (a, b) => b.workload.expiresAtMs - a.workload.expiresAtMs,
    )
    return newest
  }

  /** Serves all aboard, each with a value of its own. */
  deliver(copy: () => Value): void {
    for (const seat of this.aboard()) {
      seat.landed.resolve(copy())
      this.#aboard.delete(seat)
    }
  }

  /** Serves one alone. The value is theirs, whether or not they still wait: see `leave`. */
  deliverTo(seat: Seat, value: Value): void {
    this.#aboard.delete(seat)
    seat.landed.resolve(value)
  }

  refuse(seats: readonly Seat[], thrown: unknown): void {
    for (const seat of seats) {
      this.#aboard.delete(seat)
      seat.landed.reject(thrown)
    }
  }

  refuseAll(thrown: unknown): void {
    this.refuse([...this.#aboard, ...this.#boarding], thrown)
    this.#boarding.clear()
  }
}

import type { Clock } from '../../core/clock.ts'
import type { Holdings } from '../refresh/holdings.ts'

/** For a shim that does not come. Then what was leased for it ends by its time to live at the source. */
export const KEEP_AT_MOST_MS = 10 * 60_000
export const MAX_KEPT = 1024

interface Unserved {
  readonly volumeId: string
  readonly holdings: Holdings
  readonly sinceMs: number
  readonly cancelExpiry: () => void
}

/**
 * What volumes hold whose first publish came to no good end. A shim that lives says farewell, or comes again; one
 * that was killed has lost its bookmark, and nobody but this daemon knows then what was leased.
 */
export class UnservedHoldings {
  readonly #clock: Clock
  readonly #kept = new Map<string, Unserved>()
  #isClosed = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Takes over the caller's part in them. Of one volume only the last are kept. */
  keep(volumeId: string, holdings: Holdings): void {
    this.take(volumeId)?.drop()
    if (this.#isClosed) {
      holdings.drop()
      return
    }
    const cancelExpiry = this.#clock.after(KEEP_AT_MOST_MS, () => {
      this.take(volumeId)?.drop()
    })
    this.#kept.set(volumeId, { volumeId, holdings, sinceMs: this.#clock.now(), cancelExpiry })
    const [oldest] = this.#kept.keys()
    if (this.#kept.size > MAX_KEPT && oldest !== undefined) this.take(oldest)?.drop()
  }

  /** Hands them over: the caller drops them. */
  take(volumeId: string): Holdings | undefined {
    const unserved = this.#kept.get(volumeId)
    unserved?.cancelExpiry()
    this.#kept.delete(volumeId)
    return unserved?.holdings
  }

  /** Volumes of which nothing was heard since then. */
  keptBefore(atMs: number): readonly string[] {
    return [...this.#kept.values()]
      .filter(({ sinceMs }) => sinceMs <= atMs)
      .map(({ volumeId }) => volumeId)
  }

  /** For a daemon that stops: whoever has the bookmark goes on. */
  close(): void {
    this.#isClosed = true
    for (const volumeId of [...this.#kept.keys()]) this.take(volumeId)?.drop()
  }
}

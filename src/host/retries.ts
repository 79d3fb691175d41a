import { Backoff } from '../core/backoff.ts'
import type { Reason } from '../core/errors.ts'

const WHILE_PENDING = { firstMs: 50, maxMs: 500 }
const WHILE_MOUNTED = { firstMs: 200, maxMs: 30_000 }
/** A call to nobody costs next to nothing, and files may be old since the daemon went: it is back in seconds. */
const WHILE_AWAY = { firstMs: 200, maxMs: 5_000 }

/** kubelet's next republish wakes a parked volume; this bound only keeps the wait from being endless. */
const PARKED_MS = 24 * 60 * 60_000

/**
 * Refusals that hang on the tokens, or on another host process that has taken the volume over: asked again
 * when kubelet comes by, not before.
 */
const WAITS_FOR_KUBELET: ReadonlySet<Reason> = new Set([
  'TokenMissing',
  'TokenRejected',
  'PodMismatch',
  'UnknownSession',
  'OperationPending',
])

/** What says nothing against the volume: there is nobody to ask. */
export function isDaemonAway(reason: Reason): boolean {
  return reason === 'DaemonUnavailable' || reason === 'ShuttingDown'
}

/** How long one volume waits before it opens its stream again. */
export class Retries {
  readonly #pending = new Backoff(WHILE_PENDING)
  readonly #mounted = new Backoff(WHILE_MOUNTED)
  readonly #away = new Backoff(WHILE_AWAY)

  /** The daemon answers: the next break is a new story. */
  noteAnswer(): void {
    this.#mounted.reset()
    this.#away.reset()
  }

  /**
   * `refusal`: why the stream ended; undefined where newer tokens have come since. Before the volume is
   * mounted kubelet waits for an answer, so that nothing is parked.
   */
  nextMs(isMounted: boolean, refusal: Reason | undefined): number {
    if (!isMounted) return this.#pending.nextMs()
    if (refusal !== undefined && isDaemonAway(refusal)) return this.#away.nextMs()
    const retryMs = this.#mounted.nextMs()
    return refusal !== undefined && WAITS_FOR_KUBELET.has(refusal) ? PARKED_MS : retryMs
  }
}

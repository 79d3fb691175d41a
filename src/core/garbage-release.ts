import type { Clock } from './clock.ts'

export interface GarbageReleaseOptions {
  readonly clock: Clock
  /** Collects all garbage; it may take a tenth of a second, in which nothing else is done. */
  readonly release: () => Promise<void>
  readonly onError: (thrown: unknown) => void
}

/** Time for pods that come or leave together, and for what still holds their last messages. */
const SETTLE_MS = 5_000
/** Between two releases, so that pods that come and go all the time cost no more than this. */
const REST_MS = 60_000

/**
 * Has garbage released when a process has little to do again. V8 frees when it needs room, which may be hours later:
 * until then secrets that have left for good lie there, and the node lacks the memory that a busy minute took.
 */
export class GarbageRelease {
  readonly #options: GarbageReleaseOptions
  #cancel: (() => void) | undefined
  #restedAtMs = 0

  constructor(options: GarbageReleaseOptions) {
    this.#options = options
  }

  /** There is garbage. Several calls at once count as one. */
  schedule(): void {
    if (this.#cancel !== undefined) return
    const { clock } = this.#options
    const nowMs = clock.now()
    // A clock that was put back meanwhile makes the rest no longer.
    const restMs = Math.min(this.#restedAtMs - nowMs, REST_MS)
    this.#cancel = clock.after(Math.max(SETTLE_MS, restMs), () => {
      this.#cancel = undefined
      this.#restedAtMs = clock.now() + REST_MS
      this.#options.release().catch(this.#options.onError)
    })
  }

  stop(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }
}

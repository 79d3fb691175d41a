import type { Clock } from '../core/clock.ts'

export interface GarbageReleaseOptions {
  readonly clock: Clock
  /** Collects all garbage; it may take a tenth of a second, in which nothing else is done. */
  readonly release: () => Promise<void>
  readonly onError: (thrown: unknown) => void
}

/** Time for the pods that leave together, and for what still holds their last messages. */
const SETTLE_MS = 5_000
/** Between two releases, so that pods that come and go all the time cost no more than this. */
const REST_MS = 60_000

/**
 * Has garbage released when secrets have left for good. What was theirs is overwritten as it is freed, but
 * V8 frees it when it needs room, which in a process with little to do may be hours later.
 */
export class GarbageRelease {
  readonly #options: GarbageReleaseOptions
  #cancel: (() => void) | undefined
  #restedAtMs = 0

  constructor(options: GarbageReleaseOptions) {
    this.#options = options
  }

  /** The last volume of a service account has gone. Several at once count as one. */
  schedule(): void {
    if (this.#cancel !== undefined) return
    const { clock } = this.#options
    const dueAtMs = Math.max(clock.now() + SETTLE_MS, this.#restedAtMs)
    this.#cancel = clock.after(dueAtMs - clock.now(), () => {
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

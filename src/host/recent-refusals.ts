import type { Clock } from '../core/clock.ts'

const KEEP_MS = 10 * 60_000
const MAX_VOLUMES = 1024

/**
 * Volumes whose last publish failed because a Secret was not there. kubelet forgets such a volume and
 * tries again with growing delays of up to 2m2s; the first answer comes at once, so that the pod's events
 * name the Secret, and later tries are held, so that the pod starts when the Secret comes and not
 * when kubelet's next try does.
 */
export class RecentRefusals {
  readonly #clock: Clock
  readonly #at = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  add(volumeId: string): void {
    this.#at.delete(volumeId)
    this.#at.set(volumeId, this.#clock.now())
    // A Map keeps insertion order, so the first key is the oldest refusal.
    for (const [oldest, atMs] of this.#at) {
      if (this.#at.size <= MAX_VOLUMES && this.#clock.now() - atMs < KEEP_MS) break
      this.#at.delete(oldest)
    }
  }

  has(volumeId: string): boolean {
    const atMs = this.#at.get(volumeId)
    return atMs !== undefined && this.#clock.now() - atMs < KEEP_MS
  }

  forget(volumeId: string): void {
    this.#at.delete(volumeId)
  }
}

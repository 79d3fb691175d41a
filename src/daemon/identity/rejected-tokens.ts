import { jittered } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'
import { digestOfToken } from './token-digest.ts'

export interface RejectedTokensOptions {
  readonly clock: Clock
  readonly random?: () => number
}

/** After the first rejection, the second in a row, and every other. */
const RESTS_MS = [5_000, 15_000, 60_000] as const
const LONGEST_REST_MS = 60_000
const SPREAD = 0.1
/** A token that nobody has tried for this long has been replaced: those of pods live for an hour. */
const FORGET_MS = 60 * 60_000
const MAX_TOKENS = 4_096

interface Rejection {
  readonly untilMs: number
  /** In a row. */
  readonly times: number
}

/**
 * The tokens that a source has rejected: that of a pod which is gone is not used again, by no volume and for
 * no watch. But an API server also rejects good tokens in passing, so where there is no other, it is tried
 * once more after a rest that soon is a minute long; newer tokens never rest. Only digests are kept.
 */
export class RejectedTokens {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #rejections = new Map<string, Rejection>()

  constructor({ clock, random = Math.random }: RejectedTokensOptions) {
    this.#clock = clock
    this.#random = random
  }

  reject(source: string, token: SecretBytes): void {
    const key = keyOf(source, token)
    const times = (this.#rejections.get(key)?.times ?? 0) + 1
    const restMs = jittered(RESTS_MS[times - 1] ?? LONGEST_REST_MS, SPREAD, this.#random)
    // Taken out and put in again, so that the first is always the one untried for longest.
    this.#rejections.delete(key)
    this.#rejections.set(key, { untilMs: this.#clock.now() + restMs, times })
    this.#prune()
  }

  accept(source: string, token: SecretBytes): void {
    if (this.#rejections.size > 0) this.#rejections.delete(keyOf(source, token))
  }

  /** When a token that was rejected may be tried again; undefined where that is now. */
  restsUntilMs(source: string, token: SecretBytes | undefined): number | undefined {
    if (this.#rejections.size === 0 || token === undefined) return undefined
    const untilMs = this.#rejections.get(keyOf(source, token))?.untilMs ?? 0
    return untilMs > this.#clock.now() ? untilMs : undefined
  }

  /** Rejected, and not accepted since: whoever has another uses that. */
  isDoubted(source: string, token: SecretBytes | undefined): boolean {
    if (this.#rejections.size === 0 || token === undefined) return false
    return this.#rejections.has(keyOf(source, token))
  }

  get size(): number {
    return this.#rejections.size
  }

  #prune(): void {
    const longAgoMs = this.#clock.now() - FORGET_MS
    for (const [key, { untilMs }] of this.#rejections) {
      if (untilMs > longAgoMs && this.#rejections.size <= MAX_TOKENS) return
      this.#rejections.delete(key)
    }
  }
}

/** Another source may accept what this one has rejected. */
function keyOf(source: string, token: SecretBytes): string {
  return `${source}\n${digestOfToken(token)}`
}

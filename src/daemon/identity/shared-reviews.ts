import type { Clock } from '../../core/clock.ts'
import { waitFor, withDeadline } from '../../core/deadline.ts'
import { LatchkeyError } from '../../core/errors.ts'
import { SecretBytes } from '../../core/secret-bytes.ts'
import type { KubeClient, TokenReviewStatus } from '../kube/kube-client.ts'
import { digestOfToken } from './token-digest.ts'

export interface SharedReviewsOptions {
  readonly reviewToken: KubeClient['reviewToken']
  readonly clock: Clock
  /** Bounds one review, and so whoever waits for it. */
  readonly timeoutMs: number
}

/**
 * How long an answer is good for those who ask next. kubelet hands one token to every volume of a pod,
 * one volume after the other. What is kept is what the API server says of the token, never that a request
 * was fine: each request is held against it by itself, as if it had asked alone. And the API server itself
 * answers from a cache of ten seconds, so nobody hears of an invalidated token a second later for this.
 */
const KEEP_MS = 1_000

interface Review {
  readonly status: Promise<TokenReviewStatus>
  readonly abandoned: AbortController
  waiting: number
  /** When the token was confirmed; undefined while nobody knows, or where it was not. */
  confirmedAtMs: number | undefined
}

/**
 * Asks the API server once about a token, however many volumes bring it at the same time. Only a
 * confirmation is kept for a moment; a refusal or a failure is for those who waited for it.
 */
export class SharedReviews {
  readonly #options: SharedReviewsOptions
  readonly #reviews = new Map<string, Review>()
  /** Confirmed ones, in the order in which they were: a hundred pods at once must not look at each other's. */
  readonly #kept = new Map<string, Review>()

  constructor(options: SharedReviewsOptions) {
    this.#options = options
  }

  /** Throws: what KubeClient.reviewToken throws · Timeout · the signal's reason. */
  async review(
    token: SecretBytes,
    audiences: readonly string[],
    signal: AbortSignal,
  ): Promise<TokenReviewStatus> {
    signal.throwIfAborted()
    this.#dropOld()
    const key = JSON.stringify([digestOfToken(token), ...audiences])
    const known = this.#reviews.get(key)
    const isGood = known !== undefined && this.#isGood(known)
    const review = isGood ? known : this.#begin(key, token, audiences)
    review.waiting += 1
    try {
      return await waitFor(review.status, signal)
    } finally {
      review.waiting -= 1
      if (review.waiting === 0 && review.confirmedAtMs === undefined) {
        // Nobody joins what has been given up.
        this.#forget(key, review)
        review.abandoned.abort(new LatchkeyError('Timeout', 'nobody waits for it any more'))
      }
    }
  }

  /** Reviews under way, and confirmations that are kept. */
  get size(): number {
    return this.#reviews.size
  }

  #begin(key: string, token: SecretBytes, audiences: readonly string[]): Review {
    const abandoned = new AbortController()
    const review: Review = {
      status: this.#ask(token, audiences, abandoned.signal).then(
        (status) => {
          if (status.authenticated && status.error === '') this.#keep(key, review)
          else this.#forget(key, review)
          return status
        },
        (thrown: unknown) => {
          this.#forget(key, review)
          throw thrown
        },
      ),
      abandoned,
      waiting: 0,
      confirmedAtMs: undefined,
    }
    // Everybody may have left when it fails.
    review.status.catch(() => undefined)
    this.#reviews.set(key, review)
    return review
  }

  async #ask(
    token: SecretBytes,
    audiences: readonly string[],
    signal: AbortSignal,
  ): Promise<TokenReviewStatus> {
    const { clock, timeoutMs, reviewToken } = this.#options
    // Whoever brought it wipes theirs as they leave; the API server's words have yet to be cleaned of it.
    const own = token.use((bytes) => SecretBytes.copyOf(bytes))
    try {
      return await withDeadline(clock, timeoutMs, 'the token review', signal, (bounded) =>
        reviewToken(own, audiences, bounded),
      )
    } finally {
      own.wipe()
    }
  }

  #keep(key: string, review: Review): void {
    review.confirmedAtMs = this.#options.clock.now()
    if (this.#reviews.get(key) === review) this.#kept.set(key, review)
  }

  #forget(key: string, review: Review): void {
    if (this.#reviews.get(key) === review) this.#reviews.delete(key)
    if (this.#kept.get(key) === review) this.#kept.delete(key)
  }

  #dropOld(): void {
    for (const [key, review] of this.#kept) {
      if (this.#isGood(review)) return
      this.#forget(key, review)
    }
  }

  /** Under way, or not confirmed too long ago. A clock that was set back must not make an answer good for longer. */
  #isGood({ confirmedAtMs }: Review): boolean {
    if (confirmedAtMs === undefined) return true
    return Math.abs(this.#options.clock.now() - confirmedAtMs) < KEEP_MS
  }
}

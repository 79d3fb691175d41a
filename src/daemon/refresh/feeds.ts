import type { Clock } from '../../core/clock.ts'
import { RejectedTokens } from '../identity/rejected-tokens.ts'
import type { Source } from '../sources/source.ts'
import { Feed, type FeedOptions, type Subscriber } from './feed.ts'
import { Pace } from './pace.ts'

export interface Subscription extends Subscriber {
  readonly source: Source
  readonly secret: string
  /** What the subscriber has never changes any more: nothing is watched or asked for. */
  readonly isImmutable?: boolean
}

export interface FeedsOptions {
  readonly clock: Clock
  /** Between two looks where a pod may not watch and its item says nothing. */
  readonly intervalMs: number
  readonly random?: () => number
  /** Shared with those who fetch. */
  readonly rejected?: RejectedTokens
}

/** Every feed of this node, shared by what may be shared: source, namespace, service account, secret. */
export class Feeds {
  readonly #options: FeedOptions
  readonly #feeds = new Map<string, Feed>()

  constructor({ clock, intervalMs, random = Math.random, rejected }: FeedsOptions) {
    this.#options = {
      clock,
      intervalMs,
      random,
      rejected: rejected ?? new RejectedTokens({ clock, random }),
      pace: new Pace(clock),
    }
  }

  /** `onChange` is called when the secret may have changed; the answer ends the subscription. */
  subscribe({ source, secret, isImmutable = false, ...subscriber }: Subscription): () => void {
    if (isImmutable) return () => undefined
    const { pod, serviceAccountUid } = subscriber.workload()
    const key = [source.name, pod.namespace, pod.serviceAccount, serviceAccountUid, secret].join(
      '\n',
    )
    const feed = this.#feeds.get(key) ?? new Feed(source, secret, this.#options)
    this.#feeds.set(key, feed)
    const unsubscribe = feed.subscribe(subscriber)
    let isOver = false
    return () => {
      if (isOver) return
      isOver = true
      if (unsubscribe()) this.#feeds.delete(key)
    }
  }

  get size(): number {
    return this.#feeds.size
  }
}

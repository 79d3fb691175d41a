import type { Clock } from '../../core/clock.ts'
import { RejectedTokens } from '../identity/rejected-tokens.ts'
import type { LastValues } from '../sources/last-values.ts'
import { sharingKeyOf, type SharingKey } from '../sources/sharing-key.ts'
import type { Source } from '../sources/source.ts'
import { Feed, type FeedOptions, type Subscriber } from './feed.ts'
import { Pace } from './pace.ts'

export interface Subscription extends Subscriber {
  readonly source: Source
  readonly secret: string
  /** How old a value it takes while the source is away, so that one is kept meanwhile; undefined: none. */
  readonly lastForMs?: number | undefined
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
  /** Left out, no value is kept for when a source is away. */
  readonly lastValues?: LastValues
}

/** Every feed of this node, shared by what may be shared: source, namespace, service account, secret. */
export class Feeds {
  readonly #options: FeedOptions
  readonly #lastValues: LastValues | undefined
  readonly #feeds = new Map<string, Feed>()

  constructor({ clock, intervalMs, random = Math.random, rejected, lastValues }: FeedsOptions) {
    this.#lastValues = lastValues
    this.#options = {
      clock,
      intervalMs,
      random,
      rejected: rejected ?? new RejectedTokens({ clock, random }),
      pace: new Pace(clock),
    }
  }

  /** `onChange` is called when the secret may have changed; the answer ends the subscription. */
  subscribe({ isImmutable = false, lastForMs, ...asked }: Subscription): () => void {
    const key = sharingKeyOf(asked.workload(), asked.source.name, asked.secret)
    const keeper = { maxAgeMs: lastForMs ?? 0, onDue: asked.onChange }
    const stopKeeping =
      lastForMs === undefined ? undefined : this.#lastValues?.subscribe(key, keeper)
    const stopWatching = isImmutable ? undefined : this.#watch(key, asked)
    return () => {
      stopKeeping?.()
      stopWatching?.()
    }
  }

  /** When this subscription is told to look; undefined while a watch brings the news. */
  nextLookAtMs({ source, secret, ...subscriber }: Subscription): number | undefined {
    const key = sharingKeyOf(subscriber.workload(), source.name, secret)
    return this.#feeds.get(key)?.nextLookAtMs(subscriber)
  }

  get size(): number {
    return this.#feeds.size
  }

  #watch(key: SharingKey, { source, secret, ...subscriber }: Subscription): () => void {
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
}

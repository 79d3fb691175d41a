import type { Source } from '../sources/source.ts'
import { Feed, type FeedOptions, type Subscriber } from './feed.ts'

export interface Subscription extends Subscriber {
  readonly source: Source
  readonly secret: string
  /** What the subscriber has never changes any more: nothing is watched or asked for. */
  readonly isImmutable?: boolean
}

/** Every feed of this node, shared by what may be shared: source, namespace, service account, secret. */
export class Feeds {
  readonly #options: FeedOptions
  readonly #feeds = new Map<string, Feed>()

  constructor(options: FeedOptions) {
    this.#options = options
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

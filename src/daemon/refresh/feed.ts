import { Backoff, jittered } from '../../core/backoff.ts'
import { sleep, type Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { Workload } from '../identity/workload.ts'
import type { Source } from '../sources/source.ts'
import { LookTimes, type Looker } from './look-times.ts'

export interface Subscriber extends Looker {
  /** The pod's newest tokens, asked for each time that one is needed: a new object once they are newer. */
  readonly workload: () => Workload
  /** What the subscriber has; undefined where the secret was not there. */
  readonly version: string | undefined
  readonly onChange: () => void
}

export interface FeedOptions {
  readonly clock: Clock
  /** Between two looks where a pod may not watch and its item says nothing. */
  readonly intervalMs: number
  readonly random?: () => number
}

const RETRY = { firstMs: 500, maxMs: 30_000 }
const SPREAD = 0.1
const TRY_WATCH_AGAIN_MS = 10 * 60_000
/** A watch begins with what is there; a known secret that does not show up in this time is gone. */
const FIRST_EVENT_MS = 10_000
/** Watches in a row that brought nothing and ended early; after them looks go on beside the attempts. */
const MAX_FRUITLESS = 3
/** A watch that lasted this long did its work, even where nothing happened. */
const LASTING_MS = 30_000

/**
 * When to look again: one loop for all volumes on this node that show the same secret to the same service
 * account. It watches with the token of a pod that still lives, so that a right taken away shows, and
 * asks at an interval where that is not allowed or does not work. It carries no values.
 */
export class Feed {
  readonly #source: Source
  readonly #secret: string
  readonly #clock: Clock
  readonly #intervalMs: number
  readonly #random: () => number
  readonly #subscribers = new Set<Subscriber>()
  readonly #stopped = new AbortController()
  readonly #backoff: Backoff
  readonly #looks: LookTimes
  #version: string | undefined
  #watchFromMs: number
  /** No watch tells of changes, for now or at all. */
  #isBlind: boolean
  #fruitless = 0
  #rejected = new WeakSet<Workload>()
  #nap = new AbortController()

  constructor(source: Source, secret: string, { clock, intervalMs, random }: FeedOptions) {
    this.#source = source
    this.#secret = secret
    this.#clock = clock
    this.#intervalMs = intervalMs
    this.#random = random ?? Math.random
    this.#backoff = new Backoff(RETRY, this.#random)
    this.#looks = new LookTimes(intervalMs, this.#random)
    this.#isBlind = source.watch === undefined
    this.#watchFromMs = source.watch === undefined ? Infinity : 0
  }

  /** Answers the function that ends the subscription and reports whether it was the last one. */
  subscribe(subscriber: Subscriber): () => boolean {
    const isFirst = this.#subscribers.size === 0
    this.#subscribers.add(subscriber)
    if (isFirst) {
      this.#version = subscriber.version
      void this.#run(this.#stopped.signal)
    } else {
      // What the feed has heard of since this one fetched must not pass it by.
      if (subscriber.version !== this.#version) subscriber.onChange()
      // Whoever is urgent does not wait until a calm interval is over.
      this.#nap.abort()
    }
    return () => {
      this.#subscribers.delete(subscriber)
      if (this.#subscribers.size > 0) return false
      this.#stopped.abort(new LatchkeyError('ShuttingDown', 'nobody listens any more'))
      return true
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        if (this.#clock.now() >= this.#watchFromMs) await this.#watch(signal)
        else await this.#waitForWatch(signal)
      }
    } catch (thrown) {
      if (!signal.aborted) throw thrown
    }
  }

  /** Sleeps until the next watch may begin, or until a look that falls due before. */
  async #waitForWatch(signal: AbortSignal): Promise<void> {
    const now = this.#clock.now()
    const lookAtMs = this.#isBlind ? this.#looks.next(now, this.#subscribers) : Infinity
    this.#nap = new AbortController()
    const sleeping = AbortSignal.any([signal, this.#nap.signal])
    const delayMs = Math.max(0, Math.min(this.#watchFromMs, lookAtMs) - now)
    await sleep(this.#clock, delayMs, sleeping).catch(() => undefined)
    signal.throwIfAborted()
    if (!this.#isBlind) return
    for (const { onChange } of this.#looks.takeDue(this.#clock.now(), this.#subscribers)) onChange()
  }

  /** One watch from its start to its end, and when the next may begin. */
  async #watch(signal: AbortSignal): Promise<void> {
    const startedMs = this.#clock.now()
    const workload = this.#pickWorkload()
    try {
      await this.#follow(workload, signal)
    } catch (thrown) {
      signal.throwIfAborted()
      const { reason } = LatchkeyError.from(thrown)
      if (reason === 'AccessDenied') {
        this.#goBlind(TRY_WATCH_AGAIN_MS)
        return
      }
      if (reason === 'TokenRejected' && !this.#hasOtherThan(workload)) {
        this.#goBlind(this.#intervalMs)
        return
      }
    }
    // An API server may end watches as fast as they are opened, each with an event about what is
    // known already: that alone never makes the next one come sooner.
    if (this.#clock.now() - startedMs >= LASTING_MS) this.#proveFruitful()
    else this.#fruitless += 1
    if (this.#fruitless >= MAX_FRUITLESS) this.#isBlind = true
    this.#watchFromMs = this.#clock.now() + this.#backoff.nextMs()
  }

  async #follow(workload: Workload, signal: AbortSignal): Promise<void> {
    const ended = new AbortController()
    const either = AbortSignal.any([signal, ended.signal])
    const cancel = this.#clock.after(FIRST_EVENT_MS, () => {
      if (this.#version !== undefined) this.#hear(undefined)
    })
    try {
      for await (const event of this.#source.watch?.(workload, this.#secret, either) ?? []) {
        signal.throwIfAborted()
        cancel()
        const version = event.present ? event.version : undefined
        if (version === this.#version) continue
        this.#proveFruitful()
        this.#hear(version)
      }
    } finally {
      cancel()
      ended.abort()
    }
  }

  #hear(version: string | undefined): void {
    this.#version = version
    for (const { onChange } of this.#subscribers) onChange()
  }

  #proveFruitful(): void {
    this.#backoff.reset()
    this.#fruitless = 0
    this.#isBlind = false
    this.#looks.clear()
  }

  #goBlind(tryAgainMs: number): void {
    this.#isBlind = true
    this.#watchFromMs = this.#clock.now() + jittered(tryAgainMs, SPREAD, this.#random)
  }

  /**
   * The newest tokens that were not rejected, as those of a pod that has ended are. Where all were, all begin
   * anew: an API server also rejects tokens in passing.
   */
  #pickWorkload(): Workload {
    const newestFirst = [...this.#subscribers]
      .map(({ workload }) => workload())
      .sort((a, b) => b.expiresAtMs - a.expiresAtMs)
    const [newest] = newestFirst
    if (newest === undefined) throw new LatchkeyError('ShuttingDown', 'nobody listens any more')
    const picked = newestFirst.find((workload) => !this.#rejected.has(workload))
    if (picked === undefined) this.#rejected = new WeakSet()
    return picked ?? newest
  }

  /** Notes that these tokens were rejected, and reports whether some subscriber has others. */
  #hasOtherThan(rejected: Workload): boolean {
    this.#rejected.add(rejected)
    return [...this.#subscribers].some(({ workload }) => !this.#rejected.has(workload()))
  }
}

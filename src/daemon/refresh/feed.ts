import { Backoff, jittered } from '../../core/backoff.ts'
import { sleep, type Clock } from '../../core/clock.ts'
import { ENDED } from '../../core/deadline.ts'
import { LatchkeyError, type Reason } from '../../core/errors.ts'
import { Pause } from '../../core/pause.ts'
import type { RejectedTokens } from '../identity/rejected-tokens.ts'
import type { Workload } from '../identity/workload.ts'
import type { Source } from '../sources/source.ts'
import { LookTimes, type Looker } from './look-times.ts'
import type { Pace } from './pace.ts'

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
  readonly random: () => number
  readonly rejected: RejectedTokens
  /** Shared by all feeds of the node. */
  readonly pace: Pace
}

const RETRY = { firstMs: 500, maxMs: 30_000 }
const SPREAD = 0.1
/** Until a watch that has come to its end is opened again: at once, but not all of a node's together. */
const REOPEN = { afterMs: 500, spread: 0.9 }
const TRY_WATCH_AGAIN_MS = 10 * 60_000
/**
 * A watch begins with what is there; a known secret that does not show up in this time is gone. Longer than
 * a call to the API server may take (kubernetes.timeout, unless it is set higher), so that one which does
 * not answer at all is not taken for that.
 */
const FIRST_EVENT_MS = 12_000
/** Watches in a row that brought nothing and ended early; after them looks go on beside the attempts. */
const MAX_FRUITLESS = 3
/** A watch that lasted this long does its work, even where nothing happened. */
const LASTING_MS = 30_000
/** Whatever is waited for without an end in sight: no timer takes Infinity. */
const IDLE_MS = 60 * 60_000

/**
 * When to look again: one pair of loops for all volumes on this node that show the same secret to the same
 * service account. One watches with the token of a pod that still lives, so that a right taken away shows;
 * while it brings nothing, the other has everybody look at an interval. It carries no values.
 */
export class Feed {
  readonly #source: Source
  readonly #secret: string
  readonly #clock: Clock
  readonly #random: () => number
  readonly #rejected: RejectedTokens
  readonly #pace: Pace
  readonly #subscribers = new Set<Subscriber>()
  readonly #stopped = new AbortController()
  readonly #backoff: Backoff
  readonly #looks: LookTimes
  /** Of those who look, and of the one who watches. */
  readonly #nap: Pause
  readonly #rest: Pause
  #version: string | undefined
  #watchFromMs = 0
  /** No watch tells of changes, for now or at all. */
  #isBlind: boolean
  /** A watch has begun after all: it is believed until it ends. */
  #isFollowing = false
  #fruitless = 0
  /** All that there are were rejected not long ago. */
  #isOutOfTokens = false

  constructor(source: Source, secret: string, options: FeedOptions) {
    const { clock, intervalMs, random, rejected, pace } = options
    this.#source = source
    this.#secret = secret
    this.#clock = clock
    this.#random = random
    this.#rejected = rejected
    this.#pace = pace
    this.#backoff = new Backoff(RETRY, random)
    this.#looks = new LookTimes(intervalMs, random)
    this.#nap = new Pause(clock)
    this.#rest = new Pause(clock)
    this.#isBlind = source.watch === undefined
  }

  /** Answers the function that ends the subscription and reports whether it was the last one. */
  subscribe(subscriber: Subscriber): () => boolean {
    const isFirst = this.#subscribers.size === 0
    this.#subscribers.add(subscriber)
    if (isFirst) {
      this.#version = subscriber.version
      const { signal } = this.#stopped
      void this.#watchForever(signal)
      void this.#lookForever(signal)
    } else {
      // What the feed has heard of since this one fetched must not pass it by.
      if (subscriber.version !== this.#version) subscriber.onChange()
      // Whoever is urgent does not wait until a calm interval is over.
      this.#nap.wake()
      if (this.#isOutOfTokens) this.#rest.wake()
    }
    return () => {
      this.#subscribers.delete(subscriber)
      if (this.#subscribers.size > 0) return false
      this.#stopped.abort(new LatchkeyError('ShuttingDown', 'nobody listens any more'))
      return true
    }
  }

  /** When this subscriber is told to look; undefined while a watch brings the news. */
  nextLookAtMs(subscriber: Subscriber): number | undefined {
    return this.#isLooking ? this.#looks.timeOf(subscriber) : undefined
  }

  async #watchForever(signal: AbortSignal): Promise<void> {
    if (this.#source.watch === undefined) return
    try {
      for (;;) {
        await sleep(this.#clock, this.#pace.takeMs(), signal)
        await this.#watch(signal)
        await this.#rest.wait(Math.max(0, this.#watchFromMs - this.#clock.now()), signal)
        signal.throwIfAborted()
      }
    } catch (thrown) {
      if (!signal.aborted) throw thrown
    }
  }

  /** Goes on beside a watch that is being opened: a server that is slow to refuse it must not hold up a look. */
  async #lookForever(signal: AbortSignal): Promise<void> {
    for (;;) {
      const nowMs = this.#clock.now()
      const lookAtMs = this.#isLooking ? this.#looks.next(nowMs, this.#subscribers) : Infinity
      await this.#nap.wait(Math.min(Math.max(0, lookAtMs - nowMs), IDLE_MS), signal)
      if (signal.aborted) return
      if (!this.#isLooking) continue
      const due = this.#looks.takeDue(this.#clock.now(), this.#subscribers)
      for (const { onChange } of due) onChange()
    }
  }

  get #isLooking(): boolean {
    return this.#isBlind && !this.#isFollowing
  }

  /** One watch from its start to its end, and when the next may begin. */
  async #watch(signal: AbortSignal): Promise<void> {
    const picked = this.#pickWorkload()
    if ('restsUntilMs' in picked) {
      this.#goBlind(picked.restsUntilMs)
      return
    }
    const startedMs = this.#clock.now()
    const failure = await this.#follow(picked, signal)
    const endedMs = this.#clock.now()
    // An API server may end watches as fast as they are opened, each with an event about what is
    // known already: that alone never makes the next one come sooner.
    if (endedMs - startedMs >= LASTING_MS) this.#proveFruitful()
    else this.#fruitless += 1
    this.#isFollowing = false
    if (failure === 'AccessDenied') {
      this.#goBlind(endedMs + jittered(TRY_WATCH_AGAIN_MS, SPREAD, this.#random))
    } else if (failure !== undefined || this.#fruitless >= MAX_FRUITLESS) {
      this.#goBlind(endedMs + this.#backoff.nextMs())
    } else {
      const isOver = this.#fruitless === 0
      const { afterMs, spread } = REOPEN
      const delayMs = isOver ? jittered(afterMs, spread, this.#random) : this.#backoff.nextMs()
      this.#watchFromMs = endedMs + delayMs
      this.#nap.wake()
    }
  }

  /** Answers why the watch failed; undefined where it just ended. */
  async #follow(workload: Workload, signal: AbortSignal): Promise<Reason | undefined> {
    const { name, audience } = this.#source
    const token = workload.tokens.get(audience)?.token
    const ended = new AbortController()
    const either = AbortSignal.any([signal, ended.signal])
    const cancelFirst = this.#clock.after(FIRST_EVENT_MS, () => {
      if (this.#version !== undefined) this.#hear(undefined)
    })
    const cancelLasting = this.#clock.after(LASTING_MS, () => {
      this.#believeSilence()
    })
    try {
      for await (const event of this.#source.watch?.(workload, this.#secret, either) ?? []) {
        signal.throwIfAborted()
        cancelFirst()
        this.#isFollowing = true
        if (token) this.#rejected.accept(name, token)
        const version = event.present ? event.version : undefined
        if (version === this.#version) continue
        this.#proveFruitful()
        this.#hear(version)
      }
      return undefined
    } catch (thrown) {
      signal.throwIfAborted()
      const { reason } = LatchkeyError.from(thrown)
      if (reason === 'TokenRejected' && token) this.#rejected.reject(name, token)
      return reason
    } finally {
      cancelFirst()
      cancelLasting()
      ended.abort(ENDED)
    }
  }

  /** What is not there is told by no event. But looks may have shown it since, so that one more is due. */
  #believeSilence(): void {
    const wasLooking = this.#isLooking
    this.#proveFruitful()
    if (wasLooking) this.#hear(this.#version)
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

  #goBlind(watchFromMs: number): void {
    this.#isBlind = true
    this.#watchFromMs = watchFromMs
    this.#nap.wake()
  }

  /**
   * The newest tokens that were not rejected, as those of a pod that has ended are. Where all were, the newest
   * that has rested since, or else when the first may be tried again.
   */
  #pickWorkload(): Workload | { readonly restsUntilMs: number } {
    const { name, audience } = this.#source
    const candidates = [...this.#subscribers]
      .map(({ workload }) => workload())
      .toSorted((a, b) => b.expiresAtMs - a.expiresAtMs)
      .map((workload) => {
        const token = workload.tokens.get(audience)?.token
        const isDoubted = this.#rejected.isDoubted(name, token)
        return { workload, isDoubted, restsUntilMs: this.#rejected.restsUntilMs(name, token) ?? 0 }
      })
    const picked =
      candidates.find(({ isDoubted }) => !isDoubted) ??
      candidates.find(({ restsUntilMs }) => restsUntilMs === 0)
    this.#isOutOfTokens = picked === undefined
    if (picked !== undefined) return picked.workload
    return { restsUntilMs: Math.min(...candidates.map(({ restsUntilMs }) => restsUntilMs)) }
  }
}

import { Backoff, jittered } from '../../core/backoff.ts'
import { sleep, type Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { Workload } from '../identity/workload.ts'
import type { Source } from '../sources/source.ts'

export interface Subscriber {
  /** The pod's newest tokens; asked each time that one is needed. */
  readonly workload: () => Workload
  /** What the subscriber has; undefined where the secret was not there. */
  readonly version: string | undefined
  /** Somebody waits for this secret to appear: without a watch it is asked for every few seconds. */
  readonly isUrgent: boolean
  readonly onChange: () => void
}

export interface FeedOptions {
  readonly clock: Clock
  /** Between two looks where a pod may not watch. */
  readonly intervalMs: number
  readonly random?: () => number
}

const URGENT_MS = 4_000
const SPREAD = 0.1
const RETRY = { firstMs: 500, maxMs: 30_000 }
const TRY_WATCH_AGAIN_MS = 10 * 60_000
/** A watch begins with what is there; a known secret that does not show up in this time is gone. */
const FIRST_EVENT_MS = 10_000
/** Ends in a row without one event, after which a watch is no better than none. */
const MAX_FRUITLESS = 3

/**
 * When to look again: one loop for all volumes on this node that show the same secret to the same service
 * account. It watches with the token of a pod that still lives, so that a right taken away shows, and
 * asks at an interval where that is not allowed. It carries no values.
 */
export class Feed {
  readonly #source: Source
  readonly #secret: string
  readonly #options: FeedOptions
  readonly #random: () => number
  readonly #subscribers = new Set<Subscriber>()
  readonly #stopped = new AbortController()
  readonly #backoff: Backoff
  #version: string | undefined
  #fruitless = 0
  #watchDeniedUntilMs = 0

  constructor(source: Source, secret: string, options: FeedOptions) {
    this.#source = source
    this.#secret = secret
    this.#options = options
    this.#random = options.random ?? Math.random
    this.#backoff = new Backoff(RETRY, this.#random)
  }

  /** Answers the function that ends the subscription, and whether it was the last one. */
  subscribe(subscriber: Subscriber): () => boolean {
    const isFirst = this.#subscribers.size === 0
    this.#subscribers.add(subscriber)
    // What the feed has heard of since this one fetched must not pass it by.
    if (isFirst) this.#version = subscriber.version
    else if (subscriber.version !== this.#version) subscriber.onChange()
    if (isFirst) void this.#run(this.#stopped.signal)
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
        if (this.#mayWatch()) await this.#watchOnce(signal)
        else await this.#lookLater(signal)
      }
    } catch (thrown) {
      if (!signal.aborted) throw thrown
    }
  }

  #mayWatch(): boolean {
    const isDenied = this.#options.clock.now() < this.#watchDeniedUntilMs
    return this.#source.watch !== undefined && !isDenied
  }

  async #lookLater(signal: AbortSignal): Promise<void> {
    const isUrgent = [...this.#subscribers].some((subscriber) => subscriber.isUrgent)
    const delayMs = isUrgent ? URGENT_MS : this.#options.intervalMs
    await sleep(this.#options.clock, jittered(delayMs, SPREAD, this.#random), signal)
    this.#notify()
  }

  /** One watch from its start to its end. */
  async #watchOnce(signal: AbortSignal): Promise<void> {
    try {
      await this.#follow(signal)
    } catch (thrown) {
      signal.throwIfAborted()
      if (LatchkeyError.from(thrown).reason === 'AccessDenied') {
        const waitMs = jittered(TRY_WATCH_AGAIN_MS, SPREAD, this.#random)
        this.#watchDeniedUntilMs = this.#options.clock.now() + waitMs
        return
      }
    }
    // An API server may end watches as fast as they are opened: only one that brought something is
    // opened again at once.
    if (this.#fruitless === 0) this.#backoff.reset()
    this.#fruitless += 1
    await sleep(this.#options.clock, this.#backoff.nextMs(), signal)
    if (this.#fruitless >= MAX_FRUITLESS) await this.#lookLater(signal)
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const ended = new AbortController()
    const events = this.#source.watch?.(
      this.#newestWorkload(),
      this.#secret,
      undefined,
      AbortSignal.any([signal, ended.signal]),
    )
    const cancel = this.#options.clock.after(FIRST_EVENT_MS, () => {
      if (this.#version === undefined) return
      this.#version = undefined
      this.#notify()
    })
    try {
      for await (const { version, present } of events ?? []) {
        cancel()
        this.#fruitless = 0
        const seen = present ? version : undefined
        if (seen === this.#version) continue
        this.#version = seen
        this.#notify()
      }
    } finally {
      cancel()
      ended.abort()
    }
  }

  #newestWorkload(): Workload {
    const workloads = [...this.#subscribers].map((subscriber) => subscriber.workload())
    const [newest] = workloads.sort((a, b) => b.expiresAtMs - a.expiresAtMs)
    if (newest === undefined) throw new LatchkeyError('ShuttingDown', 'nobody listens any more')
    return newest
  }

  #notify(): void {
    for (const { onChange } of this.#subscribers) onChange()
  }
}

import type { Clock } from '../../core/clock.ts'
import { withDeadline } from '../../core/deadline.ts'
import { LatchkeyError, type Reason } from '../../core/errors.ts'
import type { Limiter } from '../../core/limiter.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'
import { RejectedTokens } from '../identity/rejected-tokens.ts'
import type { Workload } from '../identity/workload.ts'
import { Lane, type Seat } from './lane.ts'
import { sharingKeyOf } from './sharing-key.ts'
import type { Source, Value } from './source.ts'
import { copyValue, wipeValue } from './value-bytes.ts'

export interface FetcherOptions {
  readonly sources: ReadonlyMap<string, Source>
  readonly clock: Clock
  /** For one call to a source. Whoever shares one may wait for the one before it as well. */
  readonly timeoutMs: number
  /** Fetches under way at once, over all sources. */
  readonly slots: Limiter
  /** Shared with those who watch. */
  readonly rejected?: RejectedTokens
  readonly onFetch: (source: string, reason: Reason | undefined, durationMs: number) => void
}

/**
 * Fetches each secret once for all who ask at the same time with the same identity. A caller only joins a
 * fetch that begins after its call, so what it gets is never older than its question.
 */
export class Fetcher {
  readonly #options: FetcherOptions
  readonly #lanes = new Map<string, Lane>()
  readonly #endless = new AbortController().signal
  readonly #rejected: RejectedTokens

  constructor(options: FetcherOptions) {
    this.#options = options
    this.#rejected = options.rejected ?? new RejectedTokens(options)
  }

  /**
   * The answer's bytes are the caller's own, to be wiped by it.
   * Throws: the source's reasons · InvalidRequest · Timeout · Overloaded · the signal's reason.
   */
  async fetch(
    workload: Workload,
    from: string,
    secret: string,
    signal: AbortSignal,
  ): Promise<Value> {
    signal.throwIfAborted()
    const source = this.#options.sources.get(from)
    if (source === undefined) {
      throw new LatchkeyError('InvalidRequest', `no source is named "${from}"`)
    }
    const { clock, timeoutMs } = this.#options
    const lane = this.#laneFor(workload, source, secret)
    const seat = lane.board(workload)
    try {
      const landed = (): Promise<Value> => seat.landed.promise
      return await withDeadline(clock, 2 * timeoutMs, `fetching from ${from}`, signal, landed)
    } catch (thrown) {
      lane.leave(seat)
      throw thrown
    }
  }

  /** Fetches under way and waited for. */
  get size(): number {
    return this.#lanes.size
  }

  #laneFor(workload: Workload, source: Source, secret: string): Lane {
    const key = sharingKeyOf(workload, source.name, secret)
    const existing = this.#lanes.get(key)
    if (existing !== undefined) return existing
    const lane = new Lane()
    this.#lanes.set(key, lane)
    void this.#serve(key, lane, source, secret, workload.pod.namespace)
    return lane
  }

  /** One flight after the other, for as long as somebody waits. Never rejects. */
  async #serve(
    key: string,
    lane: Lane,
    source: Source,
    secret: string,
    namespace: string,
  ): Promise<void> {
    do {
      try {
        // Waiting for a slot is not flying: whoever asks meanwhile comes along.
        const flight = (): Promise<void> => this.#fly(lane, source, secret)
        await this.#options.slots.run(this.#endless, flight, namespace)
      } catch (thrown) {
        lane.refuseAll(thrown)
      }
    } while (lane.isWaitedFor)
    this.#lanes.delete(key)
  }

  async #fly(lane: Lane, source: Source, secret: string): Promise<void> {
    // Those who ask in the same moment are still about to.
    await Promise.resolve()
    const signal = lane.takeOff()
    this.#refuseResting(lane, source)
    const isDoubted = (seat: Seat): boolean =>
      this.#rejected.isDoubted(source.name, tokenOf(seat, source))
    for (;;) {
      const seat = lane.newest(isDoubted)
      if (seat === undefined) return
      try {
        const value = await this.#fetchOnce(source, seat.workload, secret, signal)
        const token = tokenOf(seat, source)
        if (token) this.#rejected.accept(source.name, token)
        // What ends by itself is one volume's own; whoever else asks is given another.
        if (value.term === undefined) land(lane, value)
        else lane.deliverTo(seat, value)
      } catch (thrown) {
        this.#noteRejection(seat, source, thrown)
        // A pod that has ended must not cost others of its service account their fetch.
        if (isOfTokenAlone(thrown)) lane.refuse(withSameToken(lane, seat, source), thrown)
        else lane.refuse(lane.aboard(), thrown)
      }
    }
  }

  /** A token that was rejected is not used again, not even for those who ask again with it. */
  #refuseResting(lane: Lane, source: Source): void {
    const resting = lane
      .aboard()
      .filter((seat) => this.#rejected.restsUntilMs(source.name, tokenOf(seat, source)))
    if (resting.length === 0) return
    const why = `${source.name} has rejected the pod's token, and is asked again with newer ones, or in a minute`
    lane.refuse(resting, new LatchkeyError('TokenRejected', why))
  }

  #noteRejection(seat: Seat, source: Source, thrown: unknown): void {
    const token = tokenOf(seat, source)
    if (token === undefined || !(thrown instanceof LatchkeyError)) return
    if (thrown.reason === 'TokenRejected') this.#rejected.reject(source.name, token)
  }

  async #fetchOnce(
    source: Source,
    workload: Workload,
    secret: string,
    signal: AbortSignal,
  ): Promise<Value> {
    const { clock, timeoutMs, onFetch } = this.#options
    const startedMs = clock.now()
    try {
      const what = `fetching from ${source.name}`
      const value = await withDeadline(clock, timeoutMs, what, signal, async (bounded) => {
        const fetched = await source.fetch(workload, secret, bounded)
        // Too late: nobody is left to wipe it.
        if (bounded.aborted) wipeValue(fetched)
        return fetched
      })
      onFetch(source.name, undefined, clock.now() - startedMs)
      return value
    } catch (thrown) {
      // What was given up says nothing about the source.
      if (!signal.aborted) {
        onFetch(source.name, LatchkeyError.from(thrown).reason, clock.now() - startedMs)
      }
      throw thrown
    }
  }
}

/** To each their own copy, so that one may wipe while another still reads. */
function land(lane: Lane, value: Value): void {
  try {
    lane.deliver(() => copyValue(value))
  } finally {
    wipeValue(value)
  }
}

function isOfTokenAlone(thrown: unknown): boolean {
  if (!(thrown instanceof LatchkeyError)) return false
  return thrown.reason === 'TokenRejected' || thrown.reason === 'TokenMissing'
}

/** Volumes of one pod carry the same token. */
function withSameToken(lane: Lane, tried: Seat, source: Source): readonly Seat[] {
  const token = tokenOf(tried, source)
  return lane.aboard().filter((seat) => {
    const other = tokenOf(seat, source)
    return seat === tried || (token !== undefined && other?.equals(token) === true)
  })
}

function tokenOf({ workload }: Seat, { audience }: Source): SecretBytes | undefined {
  return workload.tokens.get(audience)?.token
}

import type { Clock } from '../../core/clock.ts'
import { withDeadline } from '../../core/deadline.ts'
import { LatchkeyError, type Reason } from '../../core/errors.ts'
import type { Limiter } from '../../core/limiter.ts'
import { SecretBytes } from '../../core/secret-bytes.ts'
import type { Workload } from '../identity/workload.ts'
import type { Source, Value } from './source.ts'

export interface FetcherOptions {
  readonly sources: ReadonlyMap<string, Source>
  readonly clock: Clock
  readonly timeoutMs: number
  /** Fetches under way at once, over all sources. */
  readonly slots: Limiter
  readonly onFetch: (source: string, reason: Reason | undefined, durationMs: number) => void
}

/** One fetch that several callers share, and those who still wait for it. */
interface Flight {
  readonly seats: Set<Seat>
  readonly result: Promise<Value>
}

interface Seat {
  readonly workload: Workload
}

interface Lane {
  readonly current: Flight
  next: Flight | undefined
}

/**
 * Fetches each secret once for all who ask at the same time with the same identity. A caller only joins a
 * fetch that begins after its call, so what it gets is never older than its question.
 */
export class Fetcher {
  readonly #options: FetcherOptions
  readonly #lanes = new Map<string, Lane>()
  readonly #endless = new AbortController().signal

  constructor(options: FetcherOptions) {
    this.#options = options
  }

  /**
   * The answer's bytes are the caller's own, to be wiped by it.
   * Throws: the source's reasons · Timeout · Overloaded · the signal's reason.
   */
  async fetch(
    workload: Workload,
    from: string,
    secret: string,
    signal: AbortSignal,
  ): Promise<Value> {
    const source = this.#options.sources.get(from)
    if (source === undefined) {
      throw new LatchkeyError('InvalidRequest', `no source is named "${from}"`)
    }
    const flight = this.#board(workload, source, secret)
    const seat = { workload }
    flight.seats.add(seat)
    try {
      const value = await withDeadline(
        this.#options.clock,
        2 * this.#options.timeoutMs,
        `fetching from ${from}`,
        signal,
        () => flight.result,
      )
      return copyOf(value)
    } finally {
      flight.seats.delete(seat)
      wipeWhenEmpty(flight)
    }
  }

  /** The flight that a caller of now may join. */
  #board(workload: Workload, source: Source, secret: string): Flight {
    const { namespace, serviceAccount } = workload.pod
    const key = [source.name, namespace, serviceAccount, workload.serviceAccountUid, secret].join('\n')
    const lane = this.#lanes.get(key)
    if (lane === undefined) {
      const current = this.#takeOff(Promise.resolve(), source, secret)
      this.#fly(key, current)
      return current
    }
    lane.next ??= this.#takeOff(
      lane.current.result.catch(() => undefined),
      source,
      secret,
    )
    return lane.next
  }

  /** A flight that begins when `before` has landed, with the token of somebody who still waits then. */
  #takeOff(before: Promise<unknown>, source: Source, secret: string): Flight {
    const seats = new Set<Seat>()
    const result = before.then(() => {
      const [seat] = seats
      if (seat === undefined) throw new LatchkeyError('Timeout', 'nobody waits any more')
      return this.#fetchOnce(source, seat.workload, secret)
    })
    result.catch(() => undefined)
    return { seats, result }
  }

  #fly(key: string, current: Flight): void {
    const lane: Lane = { current, next: undefined }
    this.#lanes.set(key, lane)
    const land = (): void => {
      if (lane.next === undefined) this.#lanes.delete(key)
      else this.#fly(key, lane.next)
    }
    current.result.then(land, land)
  }

  async #fetchOnce(source: Source, workload: Workload, secret: string): Promise<Value> {
    const { clock, slots, timeoutMs, onFetch } = this.#options
    return slots.run(this.#endless, async () => {
      const startedMs = clock.now()
      try {
        const value = await withDeadline(clock, timeoutMs, 'a fetch', this.#endless, (bounded) =>
          source.fetch(workload, secret, bounded),
        )
        onFetch(source.name, undefined, clock.now() - startedMs)
        return value
      } catch (thrown) {
        onFetch(source.name, LatchkeyError.from(thrown).reason, clock.now() - startedMs)
        throw thrown
      }
    })
  }
}

function copyOf(value: Value): Value {
  const entries = [...value.entries].map(
    ([name, secret]) => [name, secret.use((bytes) => SecretBytes.copyOf(bytes))] as const,
  )
  return { ...value, entries: new Map(entries) }
}

/** The last one out zeroes what was fetched; somebody may board again before the flight begins. */
function wipeWhenEmpty({ seats, result }: Flight): void {
  if (seats.size > 0) return
  result.then(
    ({ entries }) => {
      if (seats.size === 0) for (const secret of entries.values()) secret.wipe()
    },
    () => undefined,
  )
}

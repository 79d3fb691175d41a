import { Backoff } from '../core/backoff.ts'
import { sleep, type Clock } from '../core/clock.ts'
import { withDeadline } from '../core/deadline.ts'
import { LatchkeyError } from '../core/errors.ts'
import { Limiter } from '../core/limiter.ts'
import type { SecretBytes } from '../core/secret-bytes.ts'
import type { FarewellOutcome, HostMetrics } from '../observability/host-metrics.ts'
import type { Logger } from '../observability/log.ts'
import type { DaemonLink, MountStream } from './daemon-link.ts'
import { isDaemonAway } from './retries.ts'
import { farewellMessage } from './shim-messages.ts'

export interface FarewellParts {
  readonly link: DaemonLink
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: HostMetrics
}

const RETRY = { firstMs: 2_000, maxMs: 60_000 }
/** Of one try. A daemon that hangs must not hold one of the few places for good. */
const TRY_MS = 60_000
const GIVE_UP_MS = 60 * 60_000
const MAX_WAITING = 1024
/** Bookmarks are charged to this container's memory, and their size is the daemon's choice. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024
const MAX_UNDER_WAY = 8

interface Farewell {
  readonly volumeId: string
  readonly bookmark: SecretBytes
  readonly over: AbortController
  isUnderWay: boolean
  tries: number
  lastError: LatchkeyError | undefined
}

/**
 * Volumes that are gone, and whose sessions and leases no daemon has acknowledged to have given back. Each
 * is said farewell until a daemon does, for an hour at most. Nothing waits for it: not kubelet, not a new
 * publish of the same volume, not the end of this process.
 */
export class Farewells {
  readonly #parts: FarewellParts
  readonly #limiter = new Limiter('farewells', MAX_UNDER_WAY, MAX_WAITING)
  /** The oldest first. */
  readonly #waiting = new Set<Farewell>()
  #bytes = 0
  #isStopped = false

  constructor(parts: FarewellParts) {
    this.#parts = parts
  }

  /** Takes the bookmark over and wipes it in the end, also when it is the oldest of too many. */
  add(volumeId: string, bookmark: SecretBytes): void {
    if (this.#isStopped) {
      bookmark.wipe()
      return
    }
    const farewell: Farewell = {
      volumeId,
      bookmark,
      over: new AbortController(),
      isUnderWay: false,
      tries: 0,
      lastError: undefined,
    }
    this.#waiting.add(farewell)
    this.#bytes += bookmark.length
    this.#dropTheOldest()
    this.#parts.metrics.setWaitingFarewells(this.#waiting.size)
    void this.#see(farewell)
  }

  /** Zeroes what waits, unsaid: the sources end it by its time to live. */
  stop(): void {
    this.#isStopped = true
    const count = this.#waiting.size
    for (const farewell of this.#waiting) this.#remove(farewell)
    if (count > 0) this.#parts.log.warn({ count }, 'stopping with farewells unsaid')
  }

  async #see(farewell: Farewell): Promise<void> {
    const { signal } = farewell.over
    const what = 'the farewell'
    try {
      await withDeadline(this.#parts.clock, GIVE_UP_MS, what, signal, (until) =>
        this.#sayUntilHeard(farewell, until),
      )
      this.#finish(farewell, 'done')
    } catch {
      this.#finish(farewell, 'given_up')
    }
  }

  /** The first pause is there too: what it broke off with on its stream will not have passed yet. */
  async #sayUntilHeard(farewell: Farewell, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(RETRY)
    for (;;) {
      await sleep(this.#parts.clock, backoff.nextMs(), signal)
      try {
        await this.#limiter.run(signal, () => this.#say(farewell, signal))
        return
      } catch (thrown) {
        signal.throwIfAborted()
        this.#note(farewell, LatchkeyError.from(thrown))
      }
    }
  }

  /** Resolves when the daemon ends the stream without an error. Throws: its reason · Timeout. */
  async #say(farewell: Farewell, signal: AbortSignal): Promise<void> {
    farewell.isUnderWay = true
    farewell.tries += 1
    try {
      await withDeadline(this.#parts.clock, TRY_MS, 'a farewell', signal, (until) =>
        this.#converse(farewell, until),
      )
    } finally {
      farewell.isUnderWay = false
    }
  }

  async #converse({ volumeId, bookmark }: Farewell, signal: AbortSignal): Promise<void> {
    let stream: MountStream | undefined
    const copy = bookmark.use((bytes) => Buffer.from(bytes))
    try {
      stream = this.#parts.link.mount(signal)
      await stream.send(farewellMessage(volumeId, copy))
      // What comes before the end is of no use to a volume that is gone.
      for await (const _ of stream.receive()) signal.throwIfAborted()
    } finally {
      copy.fill(0)
      stream?.end()
    }
  }

  /** One line per change of the reason, not one per try. */
  #note(farewell: Farewell, error: LatchkeyError): void {
    if (farewell.lastError?.reason !== error.reason) {
      const { volumeId } = farewell
      const level = isDaemonAway(error.reason) ? 'debug' : 'warn'
      const { reason } = error
      this.#parts.log[level]({ volumeId, err: error, reason }, 'farewell not accepted; tried again')
    }
    farewell.lastError = error
  }

  #dropTheOldest(): void {
    for (const farewell of this.#waiting) {
      if (this.#waiting.size <= MAX_WAITING && this.#bytes <= MAX_WAITING_BYTES) return
      if (!farewell.isUnderWay) this.#finish(farewell, 'dropped')
    }
  }

  #finish(farewell: Farewell, outcome: FarewellOutcome): void {
    if (!this.#waiting.has(farewell)) return
    this.#remove(farewell)
    this.#parts.metrics.countFarewell(outcome)
    const { volumeId, tries: attempt, lastError } = farewell
    const err = lastError === undefined ? {} : { err: lastError, reason: lastError.reason }
    if (outcome === 'done') this.#parts.log.debug({ volumeId, attempt }, 'farewell accepted')
    else this.#parts.log.warn({ volumeId, attempt, ...err }, LOST[outcome])
  }

  #remove(farewell: Farewell): void {
    if (!this.#waiting.delete(farewell)) return
    this.#bytes -= farewell.bookmark.length
    farewell.over.abort(new LatchkeyError('ShuttingDown', 'the farewell is over'))
    farewell.bookmark.wipe()
    this.#parts.metrics.setWaitingFarewells(this.#waiting.size)
  }
}

const LOST = {
  given_up: 'farewell given up: what the volume held ends by its time to live at the source',
  dropped: 'too many farewells, the oldest dropped: what it is for ends by its time to live',
} as const

import { Backoff } from '../core/backoff.ts'
import { sleep, type Clock } from '../core/clock.ts'
import { withDeadline } from '../core/deadline.ts'
import { LatchkeyError } from '../core/errors.ts'
import { Limiter } from '../core/limiter.ts'
import type { FarewellOutcome, HostMetrics } from '../observability/host-metrics.ts'
import type { Logger } from '../observability/log.ts'
import { MAX_BOOKMARKS } from './bookmark-room.ts'
import type { HeldBookmark } from './bookmark.ts'
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
/** Of them one namespace gets seven: at a source that hangs each takes its minute. */
const MAX_UNDER_WAY = 8

interface Farewell {
  readonly volumeId: string
  readonly bookmark: HeldBookmark
  readonly over: AbortController
  tries: number
  lastError: LatchkeyError | undefined
}

/**
 * Volumes that are gone, and whose sessions and leases no daemon has acknowledged to have given back. Each
 * is said farewell until a daemon does, for an hour at most. Nothing waits for it: not kubelet, not a new
 * publish of the same volume, not the end of this process. They are never too many: until it is over, each keeps
 * its place in the room for bookmarks, and new ones are refused.
 */
export class Farewells {
  readonly #parts: FarewellParts
  readonly #limiter = new Limiter('farewells', MAX_UNDER_WAY, MAX_BOOKMARKS, {
    sparesSlots: true,
  })
  readonly #waiting = new Set<Farewell>()
  #isStopped = false

  constructor(parts: FarewellParts) {
    this.#parts = parts
  }

  /** Takes the bookmark over and closes it in the end. */
  add(volumeId: string, bookmark: HeldBookmark): void {
    if (this.#isStopped) {
      bookmark.close()
      return
    }
    const farewell: Farewell = {
      volumeId,
      bookmark,
      over: new AbortController(),
      tries: 0,
      lastError: undefined,
    }
    this.#waiting.add(farewell)
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
        const { namespace } = farewell.bookmark
        await this.#limiter.run(signal, () => this.#say(farewell, signal), namespace)
        return
      } catch (thrown) {
        signal.throwIfAborted()
        this.#note(farewell, LatchkeyError.from(thrown))
      }
    }
  }

  /** Resolves when the daemon ends the stream without an error. Throws: its reason · Timeout. */
  async #say(farewell: Farewell, signal: AbortSignal): Promise<void> {
    farewell.tries += 1
    await withDeadline(this.#parts.clock, TRY_MS, 'a farewell', signal, (until) =>
      this.#converse(farewell, until),
    )
  }

  async #converse({ volumeId, bookmark }: Farewell, signal: AbortSignal): Promise<void> {
    let stream: MountStream | undefined
    const copy = bookmark.copy()
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

  #finish(farewell: Farewell, outcome: FarewellOutcome): void {
    if (!this.#waiting.has(farewell)) return
    this.#remove(farewell)
    this.#parts.metrics.countFarewell(outcome)
    const { volumeId, tries: attempt, lastError } = farewell
    const err = lastError === undefined ? {} : { err: lastError, reason: lastError.reason }
    if (outcome === 'done') this.#parts.log.debug({ volumeId, attempt }, 'farewell accepted')
    else this.#parts.log.warn({ volumeId, attempt, ...err }, LOST)
  }

  #remove(farewell: Farewell): void {
    if (!this.#waiting.delete(farewell)) return
    farewell.over.abort(new LatchkeyError('ShuttingDown', 'the farewell is over'))
    farewell.bookmark.close()
    this.#parts.metrics.setWaitingFarewells(this.#waiting.size)
  }
}

const LOST = 'farewell given up: what the volume held ends by its time to live at the source'

import { Backoff } from '../../core/backoff.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { VolumeRequest } from '../../core/types.ts'
import type { Logger } from '../../observability/log.ts'
import type { Item } from '../sources/item.ts'
import type { Holdings } from '../refresh/holdings.ts'
import type { Stale } from '../sources/serve-last.ts'
import { collectHeld } from './collect-held.ts'
import type { Credentials } from './credentials.ts'
import type { Delivery } from './delivery.ts'
import type { Shim } from './shim.ts'
import type { Contents, Stages } from './stages.ts'
import { watchItems, type Changes } from './watch-items.ts'

const RETRY = { firstMs: 1_000, maxMs: 60_000 }
/** Feeds bring the news; this bound only keeps the wait from being endless. */
const IDLE_MS = 60 * 60_000
/** `latchkey refresh` calls that wait for one volume at a time. */
const MAX_ASKING = 64

export interface RefresherParts {
  readonly volume: VolumeRequest
  readonly items: readonly Item[]
  readonly credentials: Credentials
  readonly delivery: Delivery
  readonly holdings: Holdings | undefined
  readonly on: Stages
  readonly log: Logger
}

export type Refreshed = 'unchanged' | 'changed'

/** Since when a volume may lag behind its sources, and why. */
export interface Staleness {
  readonly sinceMs: number
  readonly error: LatchkeyError
}

/** Looks at one volume's sources when they may have changed, when somebody asks, and again after a failure. */
export class Refresher {
  readonly #parts: RefresherParts
  #changes: Changes | undefined
  #asking: PromiseWithResolvers<Refreshed>[] = []
  #staleness: Staleness | undefined
  #checkedAtMs: number

  constructor(parts: RefresherParts) {
    this.#parts = parts
    if (parts.holdings !== undefined) parts.holdings.onDue = () => this.#changes?.notify()
    this.#checkedAtMs = parts.on.clock.now()
  }

  /** When a look last found everything as the pod sees it. */
  get checkedAtMs(): number {
    return this.#checkedAtMs
  }

  /** undefined while all is well. */
  get staleness(): Staleness | undefined {
    return this.#staleness
  }

  /** When the sources are asked again by the clock; undefined where watches bring all the news. */
  get nextLookAtMs(): number | undefined {
    return this.#changes?.nextLookAtMs
  }

  /** The tokens have changed: what failed for want of good ones is tried again. */
  retry(): void {
    if (this.#staleness !== undefined) this.#changes?.notify()
  }

  /**
   * Looks now. Throws: why the look failed · UnknownSession where no stream is open · Overloaded.
   */
  now(): Promise<Refreshed> {
    if (this.#changes === undefined) return Promise.reject(notConnected())
    if (this.#asking.length >= MAX_ASKING) {
      const why = 'this volume is being refreshed by many callers already'
      return Promise.reject(new LatchkeyError('Overloaded', why))
    }
    const asking = Promise.withResolvers<Refreshed>()
    this.#asking.push(asking)
    this.#changes.notify()
    return asking.promise
  }

  /** Hands over the first contents, and keeps the volume fresh until the stream ends. */
  async begin(first: Contents, shim: Shim, signal: AbortSignal): Promise<void> {
    const { delivery, holdings } = this.#parts
    await delivery.send(first, shim.stream, signal)
    holdings?.settle()
    if (first.stale !== undefined) this.#fail(ofMemory(first.stale), first.stale.sinceMs)
    await this.run(shim, signal, false)
  }

  /** Keeps the volume fresh until the stream ends. `isDue`: something may have changed already. */
  async run(shim: Shim, signal: AbortSignal, isDue: boolean): Promise<void> {
    // The stream may have ended while the last answer was on its way.
    signal.throwIfAborted()
    const { items, credentials, delivery, on } = this.#parts
    const workload = (): typeof credentials.workload => credentials.workload
    const watched = { items, workload, ...delivery.committed, isUrgent: false }
    const changes = watchItems(watched, on)
    this.#changes = changes
    if (isDue) changes.notify()
    const backoff = new Backoff(RETRY)
    try {
      for (;;) {
        const waitMs = this.#staleness === undefined ? IDLE_MS : backoff.nextMs()
        const isNews = await changes.next(waitMs, signal)
        if (!isNews && this.#staleness === undefined) continue
        await delivery.takeTurn(signal)
        if (await this.#refresh(shim, signal)) backoff.reset()
      }
    } finally {
      this.#changes = undefined
      changes.stop()
      for (const { reject } of this.#takeAsking()) reject(notConnected())
    }
  }

  /** Reports whether the pod now has what its sources have. On failure the last good contents stay. */
  async #refresh(shim: Shim, signal: AbortSignal): Promise<boolean> {
    // Whoever asks from here on has not been answered by this look.
    const asking = this.#takeAsking()
    const { volume, items, credentials, delivery, holdings, on } = this.#parts
    try {
      const { workload } = credentials
      const wanted = { workload, items, fsGroup: volume.fsGroup, holdings }
      const contents = await collectHeld(wanted, on, shim, signal)
      const refreshed = await delivery.send(contents, shim.stream, signal)
      holdings?.settle()
      if (contents.stale !== undefined) throw ofMemory(contents.stale)
      this.#succeed(refreshed)
      for (const { resolve } of asking) resolve(refreshed)
      return true
    } catch (thrown) {
      const error = signal.aborted ? notConnected() : LatchkeyError.from(thrown)
      for (const { reject } of asking) reject(error)
      signal.throwIfAborted()
      this.#fail(error, on.clock.now())
      return false
    }
  }

  #succeed(refreshed: Refreshed): void {
    const { on, log, volume } = this.#parts
    on.metrics.countRefresh(refreshed)
    on.events?.fresh(volume)
    if (this.#staleness !== undefined) log.info({}, 'refresh succeeds again')
    this.#staleness = undefined
    this.#checkedAtMs = on.clock.now()
  }

  #fail(error: LatchkeyError, sinceMs: number): void {
    const { on, log, volume } = this.#parts
    const { reason } = error
    on.metrics.countRefresh(reason)
    if (reason !== this.#staleness?.error.reason) {
      log.warn({ err: error, reason }, 'refresh failed, last contents stay')
    }
    this.#staleness = { sinceMs: this.#staleness?.sinceMs ?? sinceMs, error }
    on.events?.stale(volume, error, this.#staleness.sinceMs)
  }

  #takeAsking(): readonly PromiseWithResolvers<Refreshed>[] {
    const asking = this.#asking
    this.#asking = []
    return asking
  }
}

function ofMemory({ reason }: Stale): LatchkeyError {
  const why =
    'the source is away, and the pod has what this node fetched last (onOutage: serve-last)'
  return new LatchkeyError(reason, why)
}

function notConnected(): LatchkeyError {
  return new LatchkeyError('UnknownSession', 'the volume has no stream; it waits for kubelet')
}

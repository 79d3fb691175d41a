import { Backoff } from '../../core/backoff.ts'
import { sleep } from '../../core/clock.ts'
import { rejectOnAbort, withDeadline } from '../../core/deadline.ts'
import { isTransient, LatchkeyError, type Reason } from '../../core/errors.ts'
import type { VolumeRequest } from '../../core/types.ts'
import type { Logger } from '../../observability/log.ts'
import type { Failed__Output } from '../../wire/gen/latchkey/mount/v1/Failed.ts'
import type { Tokens__Output } from '../../wire/gen/latchkey/mount/v1/Tokens.ts'
import type { Workload } from '../identity/workload.ts'
import type { Item } from '../sources/item.ts'
import { memoryOf } from './byte-budget.ts'
import { parseTokens } from './open-request.ts'
import { contentsMessage, type ShimStream, type Words } from './shim-stream.ts'
import type { Contents, Stages } from './stages.ts'
import { watchItems, type Changes } from './watch-items.ts'

/** A shim writes to memory; one that does not answer in this time is stuck, and its stream is ended. */
const ANSWER_TIMEOUT_MS = 30_000
const RETRY = { firstMs: 1_000, maxMs: 60_000 }
/**
 * Between two generations of one volume: each is written by the host side's one thread, and a Secret that
 * changes all the time must not keep it from everybody else's.
 */
const PACE_MS = 500
/** Feeds bring the news; this bound only keeps the wait from being endless. */
const IDLE_MS = 60 * 60_000

/** Unmounted was the shim's last word, or there was none. */
export type StreamEnd = 'unmounted' | 'broken'

type Answer = { readonly committed: true } | { readonly failed: Failed__Output }

/**
 * One authorised volume: what it may have, what it was last sent, and the newest tokens. It lives
 * through broken streams; values never stay in it, only their digests do.
 */
export class Session {
  readonly volume: VolumeRequest
  readonly #items: readonly Item[]
  readonly #on: Stages
  readonly #log: Logger
  #workload: Workload
  #generation = 0
  /** Digests of the last two generations sent: the shim may show the one or the other. */
  #sent: readonly Buffer[] = []
  #shown: Buffer | undefined
  #committed: Pick<Contents, 'versions' | 'immutable'> = {
    versions: new Map(),
    immutable: new Set(),
  }
  /** Replaced tokens; a fetch that was in line when they were may still ask with them. */
  #retired: Workload | undefined
  #sentAtMs = 0
  #answer = Promise.withResolvers<Answer>()
  #changes: Changes | undefined
  #lastReason: Reason | undefined
  #displaced = new AbortController()

  constructor(volume: VolumeRequest, items: readonly Item[], workload: Workload, on: Stages) {
    this.volume = volume
    this.#items = items
    this.#workload = workload
    this.#on = on
    const { namespace, name: pod } = workload.pod
    this.#log = on.log.child({ volumeId: volume.volumeId, namespace, pod })
  }

  /** Without newer tokens the session proves nothing after this. */
  get expiresAtMs(): number {
    return this.#workload.expiresAtMs
  }

  /** Reports whether a shim that shows this digest has what this session sent. */
  hasSent(digest: Buffer): boolean {
    return this.#sent.some((sent) => sent.equals(digest))
  }

  /** Ends the stream that serves it now, for a newer one. */
  displace(): void {
    this.#displaced.abort(
      new LatchkeyError('OperationPending', 'a newer stream has taken this volume'),
    )
  }

  /** Sends the first contents and then every change, until the stream ends. */
  async serve(stream: ShimStream, words: Words, first: Contents): Promise<StreamEnd> {
    return this.#converse(stream, words, (signal) => this.#deliver(first, stream, signal))
  }

  /** Goes on where a broken stream left off; `digest` is what the shim shows. */
  async resume(stream: ShimStream, words: Words, digest: Buffer): Promise<StreamEnd> {
    this.#displaced = new AbortController()
    this.#shown = digest
    this.#sentAtMs = 0
    return this.#converse(stream, words, async (signal) => {
      await stream.send({ resumed: { generation: this.#generation } })
      await this.#refreshForever(stream, signal, true)
    })
  }

  /** Reports whether the shim has anything that a Resume could be about. */
  get hasCommitted(): boolean {
    return this.#shown !== undefined
  }

  /** Forgets the pod's tokens. */
  wipe(): void {
    for (const workload of [this.#workload, this.#retired]) wipeTokens(workload)
  }

  /** Listens and delivers side by side; whichever ends first ends the other. */
  async #converse(
    stream: ShimStream,
    words: Words,
    deliver: (signal: AbortSignal) => Promise<void>,
  ): Promise<StreamEnd> {
    const heardAll = new AbortController()
    const signal = AbortSignal.any([stream.closed, this.#displaced.signal, heardAll.signal])
    const delivering = deliver(signal)
    try {
      return await Promise.race([
        this.#listen(words, signal),
        delivering.then(() => 'broken' as const),
        rejectOnAbort(this.#displaced.signal),
      ])
    } finally {
      heardAll.abort(new LatchkeyError('ShuttingDown', 'the stream is over'))
      this.#changes = undefined
      await delivering.catch(() => undefined)
    }
  }

  async #listen(words: Words, signal: AbortSignal): Promise<StreamEnd> {
    for (;;) {
      const next = await words.next()
      if (next.done === true) return 'broken'
      const { value } = next
      if (value.unmounted) return 'unmounted'
      if (value.committed) this.#hear(value.committed.generation, { committed: true })
      else if (value.failed) this.#hear(value.failed.generation, { failed: value.failed })
      else if (value.tokens) await this.#renew(value.tokens, signal)
      else throw new LatchkeyError('InvalidRequest', 'Open or Resume may only come first')
    }
  }

  #hear(generation: number, answer: Answer): void {
    if (generation !== this.#generation) {
      throw new LatchkeyError('InvalidRequest', `no generation ${generation} is unanswered`)
    }
    this.#answer.resolve(answer)
  }

  /**
   * Newer tokens count once they are reviewed. Refused, they change nothing. Where nobody could review
   * them the stream ends, and the shim opens it again with them.
   */
  async #renew(message: Tokens__Output, signal: AbortSignal): Promise<void> {
    const tokens = parseTokens(message.tokens)
    try {
      const renewed = { ...this.volume, tokens }
      const workload = await this.#on.slots.run(signal, () =>
        this.#on.authenticate(renewed, signal),
      )
      wipeTokens(this.#retired)
      this.#retired = this.#workload
      this.#workload = workload
      if (this.#lastReason !== undefined) this.#changes?.notify()
    } catch (thrown) {
      for (const { token } of tokens) token.wipe()
      const error = LatchkeyError.from(thrown)
      if (signal.aborted || isTransient(error.reason)) throw thrown
      this.#log.warn({ err: error, reason: error.reason }, 'newer tokens refused')
    }
  }

  async #deliver(first: Contents, stream: ShimStream, signal: AbortSignal): Promise<void> {
    await this.#send(first, stream, signal)
    await this.#refreshForever(stream, signal, false)
  }

  async #refreshForever(stream: ShimStream, signal: AbortSignal, isDue: boolean): Promise<void> {
    // The stream may have ended while the last answer was on its way.
    signal.throwIfAborted()
    const workload = (): Workload => this.#workload
    const changes = watchItems(
      { items: this.#items, workload, ...this.#committed, isUrgent: false },
      this.#on,
    )
    this.#changes = changes
    if (isDue) changes.notify()
    const backoff = new Backoff(RETRY)
    try {
      for (;;) {
        const waitMs = this.#lastReason === undefined ? IDLE_MS : backoff.nextMs()
        const isNews = await changes.next(waitMs, signal)
        if (!isNews && this.#lastReason === undefined) continue
        await this.#pace(signal)
        if (await this.#refresh(stream, signal)) backoff.reset()
      }
    } finally {
      changes.stop()
    }
  }

  async #pace(signal: AbortSignal): Promise<void> {
    const waitMs = this.#sentAtMs + PACE_MS - this.#on.clock.now()
    if (waitMs > 0) await sleep(this.#on.clock, waitMs, signal)
  }

  /** Reports whether the pod now has what its sources have. On failure the last good contents stay. */
  async #refresh(stream: ShimStream, signal: AbortSignal): Promise<boolean> {
    try {
      const { fsGroup } = this.volume
      const contents = await this.#on.collect(this.#workload, this.#items, fsGroup, signal)
      const outcome = await this.#send(contents, stream, signal)
      this.#on.metrics.countRefresh(outcome)
      if (this.#lastReason !== undefined) this.#log.info({}, 'refresh succeeds again')
      this.#lastReason = undefined
      return true
    } catch (thrown) {
      signal.throwIfAborted()
      const error = LatchkeyError.from(thrown)
      this.#on.metrics.countRefresh(error.reason)
      if (error.reason !== this.#lastReason) {
        this.#log.warn({ err: error, reason: error.reason }, 'refresh failed, last contents stay')
      }
      this.#lastReason = error.reason
      return false
    }
  }

  /** Hands a generation over and waits for the shim's answer; the bytes are wiped in every case. */
  async #send(
    contents: Contents,
    stream: ShimStream,
    signal: AbortSignal,
  ): Promise<'unchanged' | 'changed'> {
    try {
      if (this.#shown?.equals(contents.digest) === true) return 'unchanged'
      const { volumeId, pod } = this.volume
      this.#on.budget.hold(volumeId, pod.namespace, memoryOf(contents.files))
      this.#generation += 1
      this.#sentAtMs = this.#on.clock.now()
      this.#sent = [contents.digest, ...this.#sent].slice(0, 2)
      this.#answer = Promise.withResolvers()
      await stream.send(contentsMessage(this.#generation, contents.files, contents.digest))
    } finally {
      contents.dispose()
    }
    await this.#awaitCommit(contents, signal)
    return 'changed'
  }

  async #awaitCommit(contents: Contents, signal: AbortSignal): Promise<void> {
    const what = 'the answer to a generation'
    const done = this.#on.metrics.startStage('commit')
    const answer = await withDeadline(
      this.#on.clock,
      ANSWER_TIMEOUT_MS,
      what,
      signal,
      () => this.#answer.promise,
    )
    if ('failed' in answer) {
      throw new LatchkeyError('VolumeIo', `the shim could not write: ${answer.failed.reason}`)
    }
    done()
    this.#shown = contents.digest
    // Of a generation only this is kept; its files would keep their buffers alive.
    this.#committed = { versions: contents.versions, immutable: contents.immutable }
    this.#log.info({ generation: this.#generation }, 'contents committed')
  }
}

function wipeTokens(workload: Workload | undefined): void {
  for (const { token } of workload?.tokens.values() ?? []) token.wipe()
}

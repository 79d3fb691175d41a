import { Backoff } from '../../core/backoff.ts'
import { sleep } from '../../core/clock.ts'
import { rejectOnAbort } from '../../core/deadline.ts'
import { isTransient, LatchkeyError } from '../../core/errors.ts'
import type { ServiceToken, VolumeRequest } from '../../core/types.ts'
import type { Logger } from '../../observability/log.ts'
import type { Tokens__Output } from '../../wire/gen/latchkey/mount/v1/Tokens.ts'
import type { Workload } from '../identity/workload.ts'
import type { Holdings } from '../refresh/holdings.ts'
import type { Item } from '../sources/item.ts'
import type { Wanted } from './collect-held.ts'
import { audiencesFor, Credentials, keepNeeded } from './credentials.ts'
import { Delivery } from './delivery.ts'
import { parseTokens } from './open-request.ts'
import { Refresher, type Refreshed, type Staleness } from './refresher.ts'
import type { Shim } from './shim.ts'
import type { ShimStream } from './shim-stream.ts'
import type { Contents, Stages } from './stages.ts'

/** One for all streams: nobody is told of it, and a new error has its stack recorded. */
const OVER = new LatchkeyError('ShuttingDown', 'the stream is over')
const REVIEW_RETRY = { firstMs: 1_000, maxMs: 60_000 }

/** Unmounted was the shim's last word, or there was none. */
export type StreamEnd = 'unmounted' | 'broken'

/** What an administrator may ask about a volume. Times are Unix times in milliseconds. */
export interface SessionStatus {
  readonly generation: number
  readonly changedAtMs: number | undefined
  readonly checkedAtMs: number
  readonly nextLookAtMs: number | undefined
  readonly staleness: Staleness | undefined
}

/**
 * One authorised volume: what it may have, what it was last sent, and the newest tokens. It lives
 * through broken streams; values never stay in it, only their digests do.
 */
export class Session {
  readonly volume: VolumeRequest
  readonly items: readonly Item[]
  readonly holdings: Holdings | undefined
  readonly #on: Stages
  readonly #log: Logger
  readonly #credentials: Credentials
  readonly #delivery: Delivery
  readonly #refresher: Refresher
  #displaced = new AbortController()
  #isJudging = false
  #renewing = new AbortController()

  constructor(volume: VolumeRequest, wanted: Wanted, on: Stages) {
    const { workload, items, holdings } = wanted
    const { namespace, name: pod } = workload.pod
    const { volumeId } = volume
    const log = on.log.child({ volumeId, namespace, pod })
    const credentials = new Credentials(workload)
    const delivery = new Delivery(volume, audiencesFor(items, on), on, log)
    this.volume = volume
    this.items = items
    this.holdings = holdings
    this.#on = on
    this.#log = log
    this.#credentials = credentials
    this.#delivery = delivery
    this.#refresher = new Refresher({ volume, items, credentials, delivery, holdings, on, log })
  }

  /** Without newer tokens the session proves nothing after this. */
  get expiresAtMs(): number {
    return this.#credentials.workload.expiresAtMs
  }

  get status(): SessionStatus {
    const { generation, changedAtMs } = this.#delivery
    const { checkedAtMs, nextLookAtMs, staleness } = this.#refresher
    return { generation, changedAtMs, checkedAtMs, nextLookAtMs, staleness }
  }

  /** Reports whether a shim that shows this digest has what this session sent. */
  hasSent(digest: Buffer): boolean {
    return this.#delivery.hasSent(digest)
  }

  /** Reports whether the shim has anything that a Resume could be about. */
  get hasCommitted(): boolean {
    return this.#delivery.hasCommitted
  }

  /** Asks the sources now. Throws: why it failed · UnknownSession where no stream is open. */
  refresh(): Promise<Refreshed> {
    return this.#refresher.now()
  }

  /** Ends the stream that serves it now, for a newer one. */
  displace(): void {
    this.#displaced.abort(
      new LatchkeyError('OperationPending', 'a newer stream has taken this volume'),
    )
  }

  /** Sends the first contents and then every change, until the stream ends. */
  async serve(shim: Shim, first: Contents): Promise<StreamEnd> {
    return this.#converse(shim, (signal) => this.#refresher.begin(first, shim, signal))
  }

  /** Goes on where a broken stream left off; `digest` is what the shim shows. */
  async resume(shim: Shim, digest: Buffer): Promise<StreamEnd> {
    this.#displaced = new AbortController()
    this.#delivery.resume(digest)
    return this.#converse(shim, async (signal) => {
      const names = audiencesFor(this.items, this.#on)
      await shim.stream.send({ resumed: { needed: { names } } })
      await this.#refresher.run(shim, signal, true)
    })
  }

  /** Nothing comes after this: forgets the pod's tokens, and says no more about its files. */
  end(): void {
    this.#credentials.wipe()
    this.#on.events?.forget(this.volume.volumeId)
    this.holdings?.drop()
  }

  /** Listens and delivers side by side; whichever ends first ends the other. */
  async #converse(shim: Shim, deliver: (signal: AbortSignal) => Promise<void>): Promise<StreamEnd> {
    shim.hear()
    const heardAll = new AbortController()
    const signal = AbortSignal.any([shim.stream.closed, this.#displaced.signal, heardAll.signal])
    const delivering = deliver(signal)
    try {
      return await Promise.race([
        this.#listen(shim, signal),
        delivering.then(() => 'broken' as const),
        rejectOnAbort(this.#displaced.signal),
      ])
    } finally {
      heardAll.abort(OVER)
      await delivering.catch(() => undefined)
    }
  }

  async #listen(shim: Shim, signal: AbortSignal): Promise<StreamEnd> {
    for (;;) {
      const next = await shim.words.next()
      if (next.done === true) return 'broken'
      const { unmounted, committed, failed, tokens, noted, unattended } = next.value
      if (unmounted) return 'unmounted'
      if (committed) this.#delivery.hear(committed.generation, { committed: true })
      else if (failed) this.#delivery.hear(failed.generation, { failed })
      else if (tokens) void this.#renew(tokens, signal)
      else if (noted) shim.note()
      else if (unattended) void this.#judge(shim.stream)
      else throw new LatchkeyError('InvalidRequest', 'Open or Resume may only come first')
    }
  }

  /**
   * Newer tokens count once they are reviewed, beside everything else; newer ones still take their place. Refused,
   * they change nothing. Where nobody can review them they are tried again, for the shim says them only once.
   */
  async #renew(message: Tokens__Output, stream: AbortSignal): Promise<void> {
    let tokens: readonly ServiceToken[] = []
    let signal = stream
    try {
      // Not to be read is refused like any other: nobody waits for this, so that nobody would catch it.
      tokens = parseTokens(message.tokens)
      this.#renewing.abort(new LatchkeyError('OperationPending', 'there are newer tokens'))
      this.#renewing = new AbortController()
      signal = AbortSignal.any([stream, this.#renewing.signal])
      const proven = await this.#review({ ...this.volume, tokens }, signal)
      signal.throwIfAborted()
      const workload = keepNeeded(proven, this.items, this.#on)
      // Sources copy what they take. Where one fails these are zeroed, and the session goes on with the older ones.
      this.holdings?.offer(workload)
      this.#credentials.replace(workload)
      tokens = []
      this.#refresher.retry()
    } catch (thrown) {
      for (const { token } of tokens) token.wipe()
      if (signal.aborted) return
      const error = LatchkeyError.from(thrown)
      this.#log.warn({ err: error, reason: error.reason }, 'newer tokens refused')
    }
  }

  /** Throws: what is not transient · the signal's reason. */
  async #review(request: VolumeRequest, signal: AbortSignal): Promise<Workload> {
    const { authenticate, slots, clock } = this.#on
    const backoff = new Backoff(REVIEW_RETRY)
    for (;;) {
      try {
        const authenticating = (): Promise<Workload> => authenticate(request, signal)
        return await slots.run(signal, authenticating, request.pod.namespace)
      } catch (thrown) {
        if (signal.aborted || !isTransient(LatchkeyError.from(thrown).reason)) throw thrown
        await sleep(clock, backoff.nextMs(), signal)
      }
    }
  }

  /** kubelet stays away: what does the API server say of the pod? One question at a time; never rejects. */
  async #judge(stream: ShimStream): Promise<void> {
    if (this.#isJudging) return
    this.#isJudging = true
    try {
      const pod = await this.#on.askForPod(this.#credentials.workload)
      await stream.send({ verdict: { pod } })
    } catch {
      // No verdict: the shim asks again.
    } finally {
      this.#isJudging = false
    }
  }
}

import { Backoff } from '../core/backoff.ts'
import { sleep, type Clock } from '../core/clock.ts'
import { LatchkeyError, type Reason } from '../core/errors.ts'
import { Pause } from '../core/pause.ts'
import type { VolumeRequest } from '../core/types.ts'
import type { Logger } from '../observability/log.ts'
import type { Contents__Output } from '../wire/gen/latchkey/mount/v1/Contents.ts'
import { Attendance } from './attendance.ts'
import { parseContents, wipeContents } from './contents.ts'
import type { DaemonLink, MountStream } from './daemon-link.ts'
import { Generations, type GenerationParts } from './generations.ts'
import { HeldRequest } from './held-request.ts'
import {
  committedMessage,
  failedMessage,
  openMessage,
  resumeMessage,
  tokensMessage,
  unattendedMessage,
  unmountedMessage,
} from './shim-messages.ts'
import type { Volume } from './volume/volume-store.ts'

export interface KeeperParts extends GenerationParts {
  readonly link: DaemonLink
  readonly clock: Clock
  readonly log: Logger
  readonly maxVolumeBytes: number
}

const RETRY_WHILE_PENDING = { firstMs: 50, maxMs: 500 }
const RETRY_WHILE_MOUNTED = { firstMs: 200, maxMs: 30_000 }
const FAREWELL_MS = 2_000

/** kubelet's next republish wakes a parked volume; this bound only keeps the wait from being endless. */
const PARKED_MS = 24 * 60 * 60_000

/**
 * Refusals that hang on the tokens, or on another host process that has taken the volume over: asked again
 * when kubelet comes by, not before.
 */
const WAITS_FOR_KUBELET: ReadonlySet<Reason> = new Set([
  'TokenMissing',
  'TokenRejected',
  'PodMismatch',
  'UnknownSession',
  'OperationPending',
])

/**
 * Keeps one volume: holds its stream to the daemon, puts in place what the daemon sends, and takes the
 * stream up again whenever it breaks. While nothing is mounted, the daemon's first refusal is the answer
 * to the publish; afterwards a refusal changes nothing that the pod sees.
 */
export class VolumeKeeper {
  readonly volume: Volume
  readonly attendance = new Attendance()
  readonly #parts: KeeperParts
  readonly #log: Logger
  readonly #generations: Generations
  readonly #ready = Promise.withResolvers<void>()
  readonly #over = new AbortController()
  readonly #held: HeldRequest
  #holdMs = 0
  #stream: MountStream | undefined
  #lastError: LatchkeyError | undefined
  /** What was last wrong with a republish; said once, for kubelet comes every minute. */
  #unreadable: string | undefined
  #isReady = false
  readonly #pause: Pause

  private constructor(
    volume: Volume,
    request: VolumeRequest | undefined,
    digest: Buffer | undefined,
    parts: KeeperParts,
  ) {
    this.volume = volume
    this.#held = new HeldRequest(request)
    this.#parts = parts
    this.#log = parts.log.child({ volumeId: volume.volumeId })
    this.#generations = new Generations(volume, digest, parts, this.#log)
    this.#pause = new Pause(parts.clock)
    this.#ready.promise.then(
      () => {
        this.#isReady = true
      },
      () => undefined,
    )
  }

  /** A new volume. `holdMs`: how long the daemon may wait for a Secret that is not there. */
  static publish(request: VolumeRequest, holdMs: number, parts: KeeperParts): VolumeKeeper {
    const { volumeId, targetPath, fsGroup } = request
    const keeper = new VolumeKeeper({ volumeId, targetPath, fsGroup }, request, undefined, parts)
    keeper.#holdMs = holdMs
    void keeper.#attend()
    return keeper
  }

  /** A volume found mounted; its tokens went with the process that had them. */
  static adopt(volume: Volume, digest: Buffer, parts: KeeperParts): VolumeKeeper {
    const keeper = new VolumeKeeper(volume, undefined, digest, parts)
    keeper.#ready.resolve()
    void keeper.#attend()
    return keeper
  }

  /** Settles with the first generation in place, or with the refusal. */
  get ready(): Promise<void> {
    return this.#ready.promise
  }

  get isMounted(): boolean {
    return this.#generations.digest !== undefined
  }

  /** Mounted, and the publish that made it has been answered. */
  get isReady(): boolean {
    return this.#isReady
  }

  get isConnected(): boolean {
    return this.#stream !== undefined
  }

  /** As first published, tokens apart; undefined after an adoption until kubelet's next republish. */
  get request(): VolumeRequest | undefined {
    return this.#held.request
  }

  /** Why the stream is down or the volume is not ready; undefined while all is well. */
  get lastError(): LatchkeyError | undefined {
    return this.#lastError
  }

  /**
   * Takes what a republish brings: newer tokens, and after an adoption the attributes too. Without a stream
   * it is tried again now, also with the same tokens: an API server rejects good ones in passing.
   */
  renew(request: VolumeRequest): void {
    this.attendance.noteVisit()
    this.#unreadable = undefined
    this.#held.renew(request)
    if (this.#stream === undefined) this.#pause.wake()
    else this.#tellTokens(this.#stream)
  }

  /** A republish that brings nothing: what is there stays, as long as its tokens go. */
  noteUnreadableVisit(why: LatchkeyError): void {
    this.attendance.noteVisit()
    if (this.#unreadable !== why.message) {
      this.#log.error({ err: why, reason: why.reason }, 'republish not understood; volume kept')
    }
    this.#unreadable = why.message
  }

  /** Has the daemon ask after the pod, where a stream is open; the answer goes to `attendance`. */
  askForPod(): void {
    if (this.#stream === undefined) return
    this.attendance.noteQuestion()
    this.#stream.send(unattendedMessage()).catch(() => undefined)
  }

  /** From here on nothing is written; a publish that still waits is answered with `why`. */
  freeze(why: LatchkeyError): void {
    this.#generations.freeze()
    this.#ready.reject(why)
  }

  /** Hangs up without a word: the daemon keeps the session, for a restarted host to resume. */
  detach(): void {
    this.#over.abort(new LatchkeyError('ShuttingDown', 'the host side is stopping'))
  }

  /** Tells the daemon that the volume is gone; what it cannot be told now expires over there. */
  async sayUnmounted(): Promise<void> {
    await Promise.race([
      this.#stream?.send(unmountedMessage()),
      sleep(this.#parts.clock, FAREWELL_MS, this.#over.signal),
    ]).catch(() => undefined)
    this.detach()
    this.#held.wipe()
  }

  async #attend(): Promise<void> {
    const pending = new Backoff(RETRY_WHILE_PENDING)
    const mounted = new Backoff(RETRY_WHILE_MOUNTED)
    for (;;) {
      const error = await this.#converse(mounted)
      if (this.#over.signal.aborted) return
      this.#note(error)
      const isDaemonAway = error.reason === 'DaemonUnavailable' || error.reason === 'ShuttingDown'
      if (!this.isMounted && !isDaemonAway) {
        this.#ready.reject(error)
        return
      }
      const isForKubelet = WAITS_FOR_KUBELET.has(error.reason) && !this.#held.isOvertaken
      const isParked = this.isMounted && isForKubelet
      const retryMs = this.isMounted ? mounted.nextMs() : pending.nextMs()
      await this.#pause.wait(isParked ? PARKED_MS : retryMs, this.#over.signal)
    }
  }

  /** One stream from its first word to its end; answers why it ended. */
  async #converse(backoff: Backoff): Promise<LatchkeyError> {
    let stream: MountStream | undefined
    try {
      stream = this.#parts.link.mount(this.#over.signal)
      await stream.send(this.#hello())
      this.#stream = stream
      this.#tellTokens(stream)
      for await (const message of stream.receive()) {
        this.#held.markAnswered()
        if (message.contents) await this.#take(message.contents, stream)
        if (message.verdict) this.attendance.hear(message.verdict.pod)
        backoff.reset()
        this.#lastError = undefined
      }
      return new LatchkeyError('DaemonUnavailable', 'the daemon ended the stream')
    } catch (thrown) {
      return LatchkeyError.from(thrown)
    } finally {
      this.#stream = undefined
      stream?.end()
    }
  }

  /** With tokens in hand a volume is opened; without, only what this very session sent can be resumed. */
  #hello(): ReturnType<typeof openMessage> {
    const { request } = this.#held
    const digest = this.#generations.digest
    const isFresh = this.#held.hasFreshTokens(this.#parts.clock.now())
    this.#held.markTold()
    if (request !== undefined && (isFresh || digest === undefined)) {
      return openMessage(request, this.#holdMs)
    }
    return resumeMessage(this.volume, digest ?? Buffer.alloc(0))
  }

  /** Newer tokens, once per stream and set; what came while the stream was being opened included. */
  #tellTokens(stream: MountStream): void {
    const tokens = this.#held.takeUntold()
    if (tokens !== undefined) stream.send(tokensMessage(tokens)).catch(() => undefined)
  }

  async #take(contents: Contents__Output, stream: MountStream): Promise<void> {
    try {
      this.#generations.apply(parseContents(contents, this.#parts.maxVolumeBytes))
    } catch (thrown) {
      const error = LatchkeyError.from(thrown)
      await stream.send(failedMessage(contents.generation, error))
      if (!this.isMounted) throw error
      this.#log.error({ err: error, generation: contents.generation }, 'contents refused')
      return
    } finally {
      wipeContents(contents)
    }
    this.#holdMs = 0
    await stream.send(committedMessage(contents.generation))
    this.#ready.resolve()
  }

  /** One line per change of state, not one per try. */
  #note(error: LatchkeyError): void {
    if (this.#lastError?.reason !== error.reason) {
      const level = this.isMounted ? 'warn' : 'debug'
      this.#log[level]({ err: error, reason: error.reason }, 'stream to the daemon ended')
    }
    this.#lastError = error
  }
}

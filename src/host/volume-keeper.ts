import { sleep, type Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { Pause } from '../core/pause.ts'
import type { VolumeRequest } from '../core/types.ts'
import type { Logger } from '../observability/log.ts'
import type { Contents__Output } from '../wire/gen/latchkey/mount/v1/Contents.ts'
import type { DaemonMessage__Output } from '../wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import { Attendance } from './attendance.ts'
import type { BookmarkRoom } from './bookmark-room.ts'
import { HeldBookmark } from './bookmark.ts'
import { wipeContents } from './contents.ts'
import type { DaemonLink, MountStream } from './daemon-link.ts'
import { Generations, type GenerationParts } from './generations.ts'
import { HeldRequest } from './held-request.ts'
import { Readiness } from './readiness.ts'
import { isDaemonAway, Retries } from './retries.ts'
import {
  committedMessage,
  failedMessage,
  notedMessage,
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
  readonly bookmarkRoom: BookmarkRoom
}

const FAREWELL_MS = 2_000
/** For giving back what the volume held at its sources; beyond it somebody else is asked. */
const ACKNOWLEDGE_MS = 60_000

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
  readonly #ready = new Readiness()
  readonly #over = new AbortController()
  readonly #held: HeldRequest
  readonly #bookmark: HeldBookmark
  #holdMs = 0
  #attending = Promise.resolve()
  #stream: MountStream | undefined
  #lastError: LatchkeyError | undefined
  #isLeaving = false
  #isAcknowledged = false
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
    const namespace = (): string => this.#held.request?.pod.namespace ?? ''
    this.#bookmark = new HeldBookmark(parts.bookmarkRoom, namespace)
    this.#log = parts.log.child({ volumeId: volume.volumeId })
    this.#generations = new Generations(volume, digest, namespace, parts, this.#log)
    this.#pause = new Pause(parts.clock)
  }

  /** A new volume. `holdMs`: how long the daemon may wait for a Secret that is not there. */
  static publish(request: VolumeRequest, holdMs: number, parts: KeeperParts): VolumeKeeper {
    const { volumeId, targetPath, fsGroup } = request
    const keeper = new VolumeKeeper({ volumeId, targetPath, fsGroup }, request, undefined, parts)
    keeper.#holdMs = holdMs
    keeper.#attending = keeper.#attend()
    return keeper
  }

  /** A volume found mounted; its tokens went with the process that had them. */
  static adopt(volume: Volume, digest: Buffer, parts: KeeperParts): VolumeKeeper {
    const keeper = new VolumeKeeper(volume, undefined, digest, parts)
    keeper.#ready.resolve()
    keeper.#attending = keeper.#attend()
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
    return this.#ready.isReady
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
    const isNamed = this.#held.request !== undefined
    this.#held.renew(request)
    if (!isNamed) this.#generations.recount()
    if (this.#stream === undefined) this.#pause.wake()
    else this.#tellTokens(this.#stream)
  }

  /** A republish that brings nothing: what is there stays, as long as its tokens go. */
  noteUnreadableVisit(why: LatchkeyError): void {
    if (!this.attendance.noteUnreadableVisit(why.message)) return
    this.#log.error({ err: why, reason: why.reason }, 'republish not understood; volume kept')
  }

  /** Has the daemon ask after the pod, where a stream is open; the answer goes to `attendance`. */
  askForPod(): void {
    this.attendance.noteQuestion()
    this.#stream?.send(unattendedMessage()).catch(() => undefined)
  }

  /** From here on nothing is written; a publish that still waits is answered with `why`. */
  freeze(why: LatchkeyError): void {
    this.#generations.freeze()
    this.#ready.reject(why)
  }

  /** Hangs up without a word: the daemon keeps the session, for a restarted host to resume. */
  detach(): void {
    this.forgetBookmark()
    this.#over.abort(new LatchkeyError('ShuttingDown', 'the host side is stopping'))
  }

  /** From here on this volume is let go of without one. */
  forgetBookmark(): void {
    this.#bookmark.close()
  }

  /**
   * Tells the daemon that the volume is gone. With a bookmark in hand it is waited for until all that the
   * volume held has been given back; answers the bookmark where no daemon has said so, for the receiver to
   * close. Without one it has a moment to end the stream, for hanging up on it costs both sides an error each;
   * what it cannot be told now expires over there.
   */
  async sayUnmounted(): Promise<HeldBookmark | undefined> {
    this.#isLeaving = true
    const said = this.#stream?.send(unmountedMessage())
    const isOwed = said !== undefined && !this.#bookmark.isEmpty
    const ms = isOwed ? ACKNOWLEDGE_MS : FAREWELL_MS
    await Promise.race([
      said?.then(() => this.#attending),
      sleep(this.#parts.clock, ms, this.#over.signal),
    ]).catch(() => undefined)
    this.#over.abort(new LatchkeyError('ShuttingDown', 'the volume is gone'))
    // The last bookmark may have come in the meantime, or be on its way into the hands of this stream.
    await this.#attending
    this.#held.wipe()
    if (this.#isAcknowledged) this.forgetBookmark()
    return this.#bookmark.isEmpty ? undefined : this.#bookmark
  }

  async #attend(): Promise<void> {
    const retries = new Retries()
    for (;;) {
      const error = await this.#converse(retries)
      if (this.#isLeaving || this.#over.signal.aborted) return
      this.#note(error)
      if (!this.isMounted && !isDaemonAway(error.reason)) {
        this.#ready.reject(error)
        return
      }
      const refusal = this.#held.isOvertaken ? undefined : error.reason
      await this.#pause.wait(retries.nextMs(this.isMounted, refusal), this.#over.signal)
    }
  }

  /** One stream from its first word to its end; answers why it ended. */
  async #converse(retries: Retries): Promise<LatchkeyError> {
    let stream: MountStream | undefined
    try {
      stream = this.#parts.link.mount(this.#over.signal)
      await this.#greet(stream)
      this.#stream = stream
      this.#tellTokens(stream)
      for await (const message of stream.receive()) {
        await this.#hear(message, stream)
        retries.noteAnswer()
        this.#lastError = undefined
      }
      this.#isAcknowledged = this.#isLeaving && !this.#over.signal.aborted
      return new LatchkeyError('DaemonUnavailable', 'the daemon ended the stream')
    } catch (thrown) {
      return LatchkeyError.from(thrown)
    } finally {
      this.#stream = undefined
      stream?.end()
    }
  }

  /** What can be opened is opened; of the rest only what this very session sent can be resumed. */
  async #greet(stream: MountStream): Promise<void> {
    const request = this.#held.takeForOpen(this.#parts.clock.now(), this.isMounted)
    if (request === undefined) {
      await stream.send(resumeMessage(this.volume, this.#generations.digest ?? Buffer.alloc(0)))
      return
    }
    const bookmark = this.#bookmark.copy()
    try {
      await stream.send(openMessage(request, this.#holdMs, bookmark))
    } finally {
      bookmark.fill(0)
    }
  }

  async #hear(message: DaemonMessage__Output, stream: MountStream): Promise<void> {
    this.#held.markAnswered()
    if (message.bookmark) {
      this.#bookmark.hold(message.bookmark.data)
      await stream.send(notedMessage())
    }
    const needed = message.contents?.needed ?? message.resumed?.needed
    if (needed) this.#keepOnly(needed.names, message.contents)
    if (message.contents) await this.#take(message.contents, stream)
    if (message.verdict) this.attendance.hear(message.verdict.pod)
  }

  /** Nobody takes what comes along with names that are refused. */
  #keepOnly(audiences: readonly string[], contents: Contents__Output | null | undefined): void {
    try {
      this.#held.keepOnly(audiences)
    } catch (thrown) {
      if (contents) wipeContents(contents)
      throw thrown
    }
  }

  /** Newer tokens, once per stream and set; what came while the stream was being opened included. */
  #tellTokens(stream: MountStream): void {
    const tokens = this.#held.takeUntold()
    if (tokens !== undefined) stream.send(tokensMessage(tokens)).catch(() => undefined)
  }

  async #take(contents: Contents__Output, stream: MountStream): Promise<void> {
    const { generation } = contents
    const error = this.#generations.take(contents, this.#parts.maxVolumeBytes)
    // Nobody is left to be answered.
    if (this.#isLeaving) return
    if (error === undefined) {
      this.#holdMs = 0
      await stream.send(committedMessage(generation))
      this.#ready.resolve()
      return
    }
    await stream.send(failedMessage(generation, error))
    if (!this.isMounted) throw error
    this.#log.error({ err: error, generation }, 'contents refused')
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

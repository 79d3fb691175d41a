import { sleep } from '../../core/clock.ts'
import { withDeadline } from '../../core/deadline.ts'
import { LatchkeyError } from '../../core/errors.ts'
import { memoryOf } from '../../core/file-memory.ts'
import type { VolumeRequest } from '../../core/types.ts'
import type { Logger } from '../../observability/log.ts'
import type { Failed__Output } from '../../wire/gen/latchkey/mount/v1/Failed.ts'
import { ANSWER_TIMEOUT_MS } from './shim.ts'
import { contentsMessage, type ShimStream } from './shim-stream.ts'
import type { Contents, Stages } from './stages.ts'

/**
 * Between two generations of one volume, and between two looks: a Secret that changes all the time, or is said to,
 * must not keep the host side's one thread, the slots and the source from everybody else's.
 */
const PACE_MS = 500

export type Answer = { readonly committed: true } | { readonly failed: Failed__Output }

/** Hands one volume's generations to its shim, one at a time, and knows which of them the pod sees. */
export class Delivery {
  readonly #volume: VolumeRequest
  readonly #needed: readonly string[]
  readonly #on: Stages
  readonly #log: Logger
  #generation = 0
  /** Digests of the last two generations sent: the shim may show the one or the other. */
  #sent: readonly Buffer[] = []
  #shown: Buffer | undefined
  #changedAtMs: number | undefined
  /** Of a generation only this is kept; its files would keep their buffers alive. */
  #committed: Pick<Contents, 'versions' | 'immutable'> = {
    versions: new Map(),
    immutable: new Set(),
  }
  #turnAtMs = 0
  #answer = Promise.withResolvers<Answer>()

  /** `needed`: audiences of the tokens that the volume needs, for the shim to know. */
  constructor(volume: VolumeRequest, needed: readonly string[], on: Stages, log: Logger) {
    this.#volume = volume
    this.#needed = needed
    this.#on = on
    this.#log = log
  }

  /** Counts what was sent; 0 before the first. */
  get generation(): number {
    return this.#generation
  }

  /** When the pod got to see what it sees; undefined where it sees nothing yet. */
  get changedAtMs(): number | undefined {
    return this.#changedAtMs
  }

  get committed(): Pick<Contents, 'versions' | 'immutable'> {
    return this.#committed
  }

  /** Reports whether a shim that shows this digest has what was sent here. */
  hasSent(digest: Buffer): boolean {
    // What it showed last was sent, too, however many generations have been sent in vain since.
    return [this.#shown, ...this.#sent].some((sent) => sent?.equals(digest))
  }

  /** Reports whether the shim has anything that a Resume could be about. */
  get hasCommitted(): boolean {
    return this.#shown !== undefined
  }

  /** Another stream goes on, whose shim shows `digest`. */
  resume(digest: Buffer): void {
    this.#shown = digest
    this.#turnAtMs = 0
  }

  /** Waits until the volume may be looked at again. */
  async takeTurn(signal: AbortSignal): Promise<void> {
    const { clock } = this.#on
    const waitMs = this.#turnAtMs + PACE_MS - clock.now()
    if (waitMs > 0) await sleep(clock, waitMs, signal)
    this.#turnAtMs = clock.now()
  }

  /** An answer that came too late is nobody's. Throws: InvalidRequest for a generation that was never sent. */
  hear(generation: number, answer: Answer): void {
    if (generation < this.#generation) return
    if (generation !== this.#generation) {
      throw new LatchkeyError('InvalidRequest', `no generation ${generation} is unanswered`)
    }
    this.#answer.resolve(answer)
  }

  /**
   * Sends a generation where the pod does not see it already, and waits for the shim's answer; the bytes
   * are wiped in every case.
   *
   * Throws: Overloaded · VolumeIo · Timeout · why the stream is over.
   */
  async send(
    contents: Contents,
    stream: ShimStream,
    signal: AbortSignal,
  ): Promise<'unchanged' | 'changed'> {
    try {
      if (this.#shown?.equals(contents.digest) === true) return 'unchanged'
      const { volumeId, pod } = this.#volume
      this.#on.budget.hold(volumeId, pod.namespace, memoryOf(contents.files))
      this.#generation += 1
      this.#turnAtMs = this.#on.clock.now()
      this.#sent = [contents.digest, ...this.#sent].slice(0, 2)
      this.#answer = Promise.withResolvers()
      const { files, digest } = contents
      await stream.send(contentsMessage(this.#generation, files, digest, this.#needed))
    } finally {
      contents.dispose()
    }
    await this.#awaitCommit(contents, signal)
    return 'changed'
  }

  async #awaitCommit(contents: Contents, signal: AbortSignal): Promise<void> {
    const { clock, metrics } = this.#on
    const done = metrics.startStage('commit')
    const what = 'the answer to a generation'
    const answered = (): Promise<Answer> => this.#answer.promise
    const answer = await withDeadline(clock, ANSWER_TIMEOUT_MS, what, signal, answered)
    if ('failed' in answer) {
      throw new LatchkeyError(
        'VolumeIo',
        `the shim could not write: ${answer.failed.reason}: ${answer.failed.message}`,
      )
    }
    done()
    this.#shown = contents.digest
    this.#changedAtMs = clock.now()
    this.#committed = { versions: contents.versions, immutable: contents.immutable }
    this.#log.info({ generation: this.#generation }, 'contents committed')
  }
}

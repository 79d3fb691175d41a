import type { Clock } from '../../core/clock.ts'
import { withDeadline } from '../../core/deadline.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'
import type { ShimStream, Words } from './shim-stream.ts'

/** A shim writes to memory; one that does not answer in this time is stuck, and its stream is ended. */
export const ANSWER_TIMEOUT_MS = 30_000

/** The other end of one stream, and what it keeps for the daemon. */
export class Shim {
  readonly stream: ShimStream
  readonly words: Words
  readonly #clock: Clock
  #noted = Promise.withResolvers<void>()
  #isHeard = false

  constructor(stream: ShimStream, words: Words, clock: Clock) {
    this.stream = stream
    this.words = words
    this.#clock = clock
  }

  /** From here on somebody listens, and says what was noted. */
  hear(): void {
    this.#isHeard = true
  }

  /** The bookmark is kept. */
  note(): void {
    this.#noted.resolve()
  }

  /** Resolves once the bookmark is kept. Throws: Timeout · why the stream is over. */
  async leave(bookmark: SecretBytes, signal: AbortSignal): Promise<void> {
    this.#noted = Promise.withResolvers()
    await this.stream.send({ bookmark: { data: bookmark.use((bytes) => bytes) } })
    const noted = (): Promise<void> => (this.#isHeard ? this.#noted.promise : this.#listen())
    await withDeadline(this.#clock, ANSWER_TIMEOUT_MS, 'the bookmark to be noted', signal, noted)
  }

  /** Before the first contents nothing else is to be heard but newer tokens, and those come again. */
  async #listen(): Promise<void> {
    for (;;) {
      const next = await this.words.next()
      if (next.done === true) throw new LatchkeyError('DaemonUnavailable', 'the shim hung up')
      if (next.value.noted) return
      for (const { token } of next.value.tokens?.tokens ?? []) token.fill(0)
      if (next.value.tokens) continue
      throw new LatchkeyError('InvalidRequest', 'before the first contents only Noted may come')
    }
  }
}

import type { Reason } from '../../../src/core/errors.ts'
import type { ShimStream } from '../../../src/daemon/mount/shim-stream.ts'
import type { DaemonMessage } from '../../../src/wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import type { ShimMessage__Output } from '../../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import type { Grant } from './matrix-oracle.ts'

export interface Generation {
  readonly grant: Grant
  readonly digest: string
}

/** Keeps its stream, says what it is told to, and commits whatever comes. */
export class MatrixShim implements ShimStream {
  /** Everything that the daemon has sent on this stream. */
  readonly generations: Generation[] = []
  isResumed = false
  /** How the stream ended; undefined while it lives. */
  end: Reason | 'the end' | undefined
  readonly #over = new AbortController()
  readonly #words: ShimMessage__Output[] = []
  #wake = Promise.withResolvers<void>()

  get closed(): AbortSignal {
    return this.#over.signal
  }

  async *receive(): AsyncGenerator<ShimMessage__Output, void> {
    for (;;) {
      const word = this.#words.shift()
      if (word !== undefined) yield word
      else if (this.#over.signal.aborted) return
      else {
        await this.#wake.promise
        this.#wake = Promise.withResolvers()
      }
    }
  }

  send({ contents, resumed }: DaemonMessage): Promise<void> {
    this.isResumed ||= resumed != null
    const [file] = contents?.files ?? []
    if (contents == null || file === undefined) return Promise.resolve()
    const digest = Buffer.from(contents.digest ?? '').toString('hex')
    this.generations.push({ grant: JSON.parse(String(file.data)) as Grant, digest })
    this.say({ committed: { generation: Number(contents.generation) } })
    return Promise.resolve()
  }

  say(word: ShimMessage__Output): void {
    this.#words.push(word)
    this.#wake.resolve()
  }

  hangUp(): void {
    this.#over.abort(new Error('the shim hung up'))
    this.#wake.resolve()
  }
}

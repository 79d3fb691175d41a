import type { ShimStream } from '../../src/daemon/mount/shim-stream.ts'
import type { DaemonMessage } from '../../src/wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import type { ShimMessage__Output } from '../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import { until } from './until.ts'

/** A shim that a test plays by hand on one Mount stream. */
export class ScriptedShim implements ShimStream {
  readonly heard: DaemonMessage[] = []
  /** Whether bookmarks are noted as they come. */
  notes = false
  readonly #over = new AbortController()
  readonly #queue: ShimMessage__Output[] = []
  #wake = Promise.withResolvers<void>()

  get closed(): AbortSignal {
    return this.#over.signal
  }

  send(message: DaemonMessage): Promise<void> {
    // As the transport does: what is sent is a copy, for the sender wipes its bytes afterwards.
    this.heard.push(structuredClone(message))
    if (this.notes && message.bookmark) this.say({ noted: {} })
    return Promise.resolve()
  }

  async *receive(): AsyncGenerator<ShimMessage__Output, void> {
    for (;;) {
      const next = this.#queue.shift()
      if (next !== undefined) yield next
      else if (this.#over.signal.aborted) return
      else {
        await this.#wake.promise
        this.#wake = Promise.withResolvers()
      }
    }
  }

  say(message: ShimMessage__Output): void {
    this.#queue.push(message)
    this.#wake.resolve()
  }

  commit(generation: number): void {
    this.say({ committed: { generation } })
  }

  hangUp(): void {
    this.#over.abort(new Error('the shim hung up'))
    this.#wake.resolve()
  }

  /** Waits for the n-th generation that the daemon sends. */
  async generation(count: number): Promise<{ generation: number; digest: Buffer; text: string }> {
    const contents = (): DaemonMessage[] => this.heard.filter((m) => m.contents != null)
    await until(() => contents().length >= count, { what: `generation ${count} from the daemon` })
    const found = contents()[count - 1]?.contents
    const text = (found?.files ?? [])
      .map((file) => `${file.path ?? ''}=${Buffer.from(file.data ?? '').toString()}`)
      .join(' ')
    return {
      generation: Number(found?.generation),
      digest: Buffer.from(found?.digest ?? ''),
      text,
    }
  }
}

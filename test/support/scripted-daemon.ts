import { contentsDigest } from '../../src/core/contents-digest.ts'
import { LatchkeyError, type Reason } from '../../src/core/errors.ts'
import { SecretBytes } from '../../src/core/secret-bytes.ts'
import type { DaemonLink, MountStream, ReportStream } from '../../src/host/daemon-link.ts'
import type { DaemonMessage__Output } from '../../src/wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import type { ShimMessage } from '../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import { until } from './until.ts'

/** A daemon that a test plays by hand: every Mount call of the host is one of its streams. */
export class ScriptedDaemon implements DaemonLink {
  readonly streams: ScriptedStream[] = []
  isAway = false

  mount(signal: AbortSignal): ScriptedStream {
    const stream = new ScriptedStream(signal)
    if (this.isAway) stream.refuse('DaemonUnavailable', 'nobody listens')
    this.streams.push(stream)
    return stream
  }

  /** Streams whose first word is a farewell, in their order. */
  get farewells(): readonly ScriptedStream[] {
    return this.streams.filter((stream) => stream.heard[0]?.farewell != null)
  }

  /** The n-th farewell. */
  async farewell(index: number): Promise<ScriptedStream> {
    await until(() => this.farewells.length > index, { what: `farewell ${index} of the host` })
    const stream = this.farewells[index]
    if (stream === undefined) throw new Error('gone again')
    return stream
  }

  report(): ReportStream {
    throw new Error('not part of this script')
  }

  /** The n-th stream that the host has opened, once it has said its first word. */
  async stream(index: number): Promise<ScriptedStream> {
    await until(() => (this.streams[index]?.heard.length ?? 0) > 0, {
      what: `stream ${index} of the host`,
    })
    const stream = this.streams[index]
    if (stream === undefined) throw new Error('gone again')
    return stream
  }
}

const OVER = new LatchkeyError('DaemonUnavailable', 'the stream is over')

export class ScriptedStream implements MountStream {
  readonly heard: ShimMessage[] = []
  readonly #queue: DaemonMessage__Output[] = []
  #wake = Promise.withResolvers<void>()
  #end: { readonly error: LatchkeyError | undefined } | undefined

  constructor(signal: AbortSignal) {
    if (signal.aborted) this.end()
    signal.addEventListener('abort', () => {
      this.end()
    })
  }

  send(message: ShimMessage): Promise<void> {
    if (this.#end !== undefined) return Promise.reject(this.#end.error ?? OVER)
    // As the transport does: what is sent is a copy, for the sender wipes its bytes afterwards.
    this.heard.push(copyOf(message))
    return Promise.resolve()
  }

  async *receive(): AsyncIterable<DaemonMessage__Output> {
    for (;;) {
      const next = this.#queue.shift()
      if (next !== undefined) yield next
      else if (this.#end?.error !== undefined) throw this.#end.error
      else if (this.#end !== undefined) return
      else {
        await this.#wake.promise
        this.#wake = Promise.withResolvers()
      }
    }
  }

  /** The host hangs up: what it reads after that fails, as a cancelled call does. */
  end(): void {
    this.#finish(OVER)
  }

  /** Over for the host, whoever ended it. */
  get isOver(): boolean {
    return this.#end !== undefined
  }

  /** Plays the daemon: leaves a bookmark. Answers the bytes that the host got, which it is to zero. */
  bookmark(text: string | Buffer): Buffer {
    const data = Buffer.from(text)
    this.say({ bookmark: { data } })
    return data
  }

  /** Plays the daemon: ends the call without an error. */
  finish(): void {
    this.#finish(undefined)
  }

  /** Plays the daemon: sends a generation. */
  contents(
    generation: number,
    files: Readonly<Record<string, string>>,
    needed?: readonly string[],
  ): Buffer {
    const list = Object.entries(files).map(([path, text]) => ({
      path,
      data: Buffer.from(text),
      mode: 0o644,
      ownerUid: 0,
    }))
    const digest = contentsDigest(
      list.map((file) => ({ ...file, data: SecretBytes.copyOf(file.data) })),
    )
    const names = needed && { names: [...needed] }
    this.say({ contents: { generation, files: list, digest, needed: names ?? null } })
    return digest
  }

  say(message: DaemonMessage__Output): void {
    this.#queue.push(message)
    this.#wake.resolve()
  }

  /** Plays the daemon: ends the call with a reason. */
  refuse(reason: Reason, message: string): void {
    this.#finish(new LatchkeyError(reason, message))
  }

  /** Waits for the host to have said something of this kind. */
  async hears(kind: keyof ShimMessage, count = 1): Promise<ShimMessage> {
    const matching = (): ShimMessage[] => this.heard.filter((message) => message[kind] != null)
    await until(() => matching().length >= count, { what: `${count} x ${kind} from the host` })
    const message = matching()[count - 1]
    if (message === undefined) throw new Error('gone again')
    return message
  }

  #finish(error: LatchkeyError | undefined): void {
    this.#end ??= { error }
    this.#wake.resolve()
  }
}

function copyOf<T>(value: T): T {
  if (value instanceof Uint8Array) return Buffer.from(value) as unknown as T
  if (Array.isArray(value)) return value.map(copyOf) as unknown as T
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, copyOf(one)])) as T
}

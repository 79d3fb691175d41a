import type { Workload } from '../../../src/daemon/identity/workload.ts'
import type { Change, Source, Value } from '../../../src/daemon/sources/source.ts'

type Word = { readonly change: Change } | { readonly failed: unknown } | { readonly ended: true }

/** One watch that was opened, and what a test has it say. */
export class OpenWatch {
  readonly workload: Workload
  readonly secret: string
  readonly signal: AbortSignal
  isOver = false
  readonly #words: Word[] = []
  #more = Promise.withResolvers<void>()

  constructor(workload: Workload, secret: string, signal: AbortSignal) {
    this.workload = workload
    this.secret = secret
    this.signal = signal
  }

  present(version: string): this {
    return this.#say({ change: { version, present: true } })
  }

  deleted(version: string): this {
    return this.#say({ change: { version, present: false } })
  }

  fail(failed: unknown): this {
    return this.#say({ failed })
  }

  end(): this {
    return this.#say({ ended: true })
  }

  async *read(): AsyncGenerator<Change> {
    const onAbort = (): void => {
      this.fail(this.signal.reason)
    }
    this.signal.addEventListener('abort', onAbort)
    try {
      for (;;) {
        this.signal.throwIfAborted()
        const word = this.#words.shift()
        if (word === undefined) {
          await this.#more.promise
          this.#more = Promise.withResolvers()
        } else if ('change' in word) yield word.change
        else if ('failed' in word) throw word.failed
        else return
      }
    } finally {
      this.isOver = true
      this.signal.removeEventListener('abort', onAbort)
    }
  }

  #say(word: Word): this {
    this.#words.push(word)
    this.#more.resolve()
    return this
  }
}

/** A source that only watches. */
export class WatchedSource implements Source {
  readonly name: string
  readonly audience = ''
  readonly opened: OpenWatch[] = []
  /** Called with each new watch before it is read. */
  onOpen: (watch: OpenWatch) => void = () => undefined

  constructor(name = 'kubernetes') {
    this.name = name
  }

  fetch(): Promise<Value> {
    return Promise.reject(new Error('a feed carries no values'))
  }

  watch(workload: Workload, secret: string, signal: AbortSignal): AsyncIterable<Change> {
    const watch = new OpenWatch(workload, secret, signal)
    this.opened.push(watch)
    this.onOpen(watch)
    return watch.read()
  }

  /** The newest watch. Throws where there was none. */
  get last(): OpenWatch {
    const last = this.opened.at(-1)
    if (last === undefined) throw new Error('nobody has watched')
    return last
  }

  /** How many watches are open now. */
  get open(): number {
    return this.opened.filter(({ isOver, signal }) => !isOver && !signal.aborted).length
  }
}

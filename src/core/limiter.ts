import { LatchkeyError } from './errors.ts'

/** At most `slots` pieces of work at once, at most `maxWaiting` more in line. */
export class Limiter {
  readonly #slots: number
  readonly #maxWaiting: number
  readonly #what: string
  readonly #line: (() => void)[] = []
  #running = 0

  /** `what` names the work in the error, for example "publishes". */
  constructor(what: string, slots: number, maxWaiting: number) {
    this.#what = what
    this.#slots = slots
    this.#maxWaiting = maxWaiting
  }

  /** Throws: Overloaded where the line is full · the signal's reason · whatever `work` throws. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const leave = await this.enter(signal)
    try {
      return await work()
    } finally {
      leave()
    }
  }

  /** Takes a slot; the answer gives it back, once. Throws: Overloaded · the signal's reason. */
  async enter(signal: AbortSignal): Promise<() => void> {
    if (this.#running >= this.#slots) await this.#queue(signal)
    else this.#running += 1
    let isIn = true
    return () => {
      if (!isIn) return
      isIn = false
      const next = this.#line.shift()
      // The slot passes straight to the next in line, so no newcomer can slip in between.
      if (next === undefined) this.#running -= 1
      else next()
    }
  }

  #queue(signal: AbortSignal): Promise<void> {
    if (this.#line.length >= this.#maxWaiting) {
      throw new LatchkeyError('Overloaded', `too many ${this.#what} at once`)
    }
    signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const enter = (): void => {
        signal.removeEventListener('abort', leave)
        resolve()
      }
      const leave = (): void => {
        this.#line.splice(this.#line.indexOf(enter), 1)
        reject(signal.reason as Error)
      }
      this.#line.push(enter)
      signal.addEventListener('abort', leave, { once: true })
    })
  }
}

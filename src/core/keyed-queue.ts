import { LatchkeyError } from './errors.ts'

/** Runs work one at a time per key, in the order it came; different keys do not wait for each other. */
export class KeyedQueue {
  readonly #maxWaiting: number
  readonly #tails = new Map<string, { done: Promise<unknown>; waiting: number }>()

  /** `maxWaiting`: calls that may wait per key, the running one not counted. */
  constructor(maxWaiting: number) {
    this.#maxWaiting = maxWaiting
  }

  /** Throws: OperationPending where the key's queue is full · whatever `work` throws. */
  async run<T>(key: string, work: () => Promise<T> | T): Promise<T> {
    const before = this.#tails.get(key)
    if (before !== undefined && before.waiting > this.#maxWaiting) {
      throw new LatchkeyError('OperationPending', 'too many calls are waiting for this volume')
    }
    const entry = before ?? { done: Promise.resolve(), waiting: 0 }
    const run = entry.done.then(work)
    entry.waiting += 1
    entry.done = run.catch(() => undefined)
    this.#tails.set(key, entry)
    try {
      return await run
    } finally {
      entry.waiting -= 1
      if (entry.waiting === 0) this.#tails.delete(key)
    }
  }

  get size(): number {
    return this.#tails.size
  }
}

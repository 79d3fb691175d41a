import { LatchkeyError } from '../core/errors.ts'

/** A namespace has at most so many times as many places as are free: alone it gets four of five. */
const SHARE = 4

/**
 * How many first publishes are under way. Each holds its request, its tokens and a stream until it is answered,
 * which may take a minute; and no namespace gets the last place, so that another finds one at once.
 */
export class Admission {
  readonly #most: number
  readonly #perNamespace = new Map<string, number>()
  #total = 0

  constructor(most: number) {
    this.#most = most
  }

  /** Takes a place; the answer gives it back, once. Throws: Overloaded. */
  enter(namespace: string): () => void {
    const own = this.#perNamespace.get(namespace) ?? 0
    if (own >= SHARE * (this.#most - this.#total)) {
      throw new LatchkeyError(
        'Overloaded',
        `too many volumes are being published at once on this node, ${own} of them of namespace "${namespace}"`,
      )
    }
    this.#set(namespace, own + 1)
    let isIn = true
    return () => {
      if (!isIn) return
      isIn = false
      this.#set(namespace, (this.#perNamespace.get(namespace) ?? 1) - 1)
    }
  }

  get size(): number {
    return this.#total
  }

  #set(namespace: string, count: number): void {
    this.#total += count - (this.#perNamespace.get(namespace) ?? 0)
    // Names come and go without end.
    if (count === 0) this.#perNamespace.delete(namespace)
    else this.#perNamespace.set(namespace, count)
  }
}

import { LatchkeyError } from '../core/errors.ts'
import { Shares } from '../core/shares.ts'

/**
 * How many first publishes are under way. Each holds its request, its tokens and a stream until it is answered,
 * which may take a minute; and no namespace gets the last place, so that another finds one at once.
 */
export class Admission {
  readonly #places: Shares

  constructor(most: number) {
    this.#places = new Shares(most)
  }

  /** Takes a place; the answer gives it back, once. Throws: Overloaded. */
  enter(namespace: string): () => void {
    if (!this.#places.fits(namespace, 1)) {
      const own = this.#places.of(namespace)
      throw new LatchkeyError(
        'Overloaded',
        `too many volumes are being published at once on this node, ${own} of them of namespace "${namespace}"`,
      )
    }
    this.#places.add(namespace, 1)
    let isIn = true
    return () => {
      if (!isIn) return
      isIn = false
      this.#places.add(namespace, -1)
    }
  }

  get size(): number {
    return this.#places.total
  }
}

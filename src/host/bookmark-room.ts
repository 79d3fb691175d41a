import { LatchkeyError } from '../core/errors.ts'
import { Shares } from '../core/shares.ts'

/** Of volumes that live and of those that have yet to be given back. It is this container's memory. */
const ROOM_BYTES = 24 * 1024 * 1024

/**
 * A bookmark counts as so many bytes at least. The first one of a volume is left before anything is leased, and
 * is where a volume is refused; what it then leases is to find its place, for it has to be given back some day.
 */
const LEAST_BYTES = 16 * 1024

/** Farewells that can wait at most. */
export const MAX_BOOKMARKS = ROOM_BYTES / LEAST_BYTES

/** What one bookmark has of the room. */
export interface Charge {
  readonly namespace: string
  readonly bytes: number
}

/** What the bookmarks of this node take together, and those of each namespace how much of it. */
export class BookmarkRoom {
  readonly #shares = new Shares(ROOM_BYTES)

  /** One that does not grow is never refused. Throws: Overloaded, and everything stays as it was. */
  exchange(old: Charge | undefined, namespace: string, bytes: number): Charge | undefined {
    const charged = bytes === 0 ? 0 : Math.max(bytes, LEAST_BYTES)
    const more = charged - (old?.bytes ?? 0)
    if (more > 0 && !this.#shares.fits(namespace, more)) throw this.#refusal(namespace)
    if (old !== undefined) this.#shares.add(old.namespace, -old.bytes)
    if (charged === 0) return undefined
    this.#shares.add(namespace, charged)
    return { namespace, bytes: charged }
  }

  #refusal(namespace: string): LatchkeyError {
    const own = this.#shares.of(namespace)
    return new LatchkeyError(
      'Overloaded',
      `what volumes of namespace "${namespace}" have leased takes ${own} of ${ROOM_BYTES} bytes for the bookmarks of this node, or has yet to be given back; one namespace gets four of five that are left at most`,
    )
  }
}

import { LatchkeyError } from '../core/errors.ts'
import { SecretBytes } from '../core/secret-bytes.ts'
import { MAX_BOOKMARK_BYTES } from '../wire/limits.ts'

/** Of all volumes that live: 256 of the largest. They are charged to this container's memory. */
const MAX_ALL_BYTES = 16 * 1024 * 1024

/** What the bookmarks of all living volumes take together. */
export class BookmarkRoom {
  #bytes = 0

  /** Throws: PayloadTooLarge, and everything stays as it was. */
  exchange(oldBytes: number, newBytes: number): void {
    const others = this.#bytes - oldBytes
    if (newBytes > oldBytes && others + newBytes > MAX_ALL_BYTES) {
      throw new LatchkeyError(
        'PayloadTooLarge',
        `bookmark: ${newBytes} bytes, and those of the node's other volumes take ${others}; ${MAX_ALL_BYTES} allowed for all`,
      )
    }
    this.#bytes = others + newBytes
  }
}

/**
 * The newest bookmark that the daemon gave for one volume: what a later daemon needs to go on with the
 * sessions and leases of this one. It lives in this process only. A host that is killed loses it, and so
 * does one that stops: the daemon's own session can still be resumed for a while; where that is gone too,
 * what was minted ends by its time to live at the source, which is why that is to be short.
 */
export class HeldBookmark {
  readonly #room: BookmarkRoom
  #newest: SecretBytes | undefined
  #isClosed = false

  constructor(room: BookmarkRoom) {
    this.#room = room
  }

  get isEmpty(): boolean {
    return this.#newest === undefined
  }

  /**
   * Takes the place of the older one, which is zeroed, and so is `data`; no bytes: there is nothing to
   * remember any more. Throws: PayloadTooLarge, with the older one still held.
   */
  hold(data: Buffer): void {
    try {
      if (data.length > MAX_BOOKMARK_BYTES) {
        throw new LatchkeyError(
          'PayloadTooLarge',
          `bookmark: ${data.length} bytes, ${MAX_BOOKMARK_BYTES} allowed`,
        )
      }
      const isKept = data.length > 0 && !this.#isClosed
      this.#room.exchange(this.#newest?.length ?? 0, isKept ? data.length : 0)
      this.#newest?.wipe()
      // A copy: what came from the wire is a window on a message of up to 5 MiB, and would keep all of it.
      this.#newest = isKept ? SecretBytes.copyOf(data) : undefined
    } finally {
      data.fill(0)
    }
  }

  /** For one message; whoever sends it zeroes it. */
  copy(): Buffer {
    return this.#newest?.use((bytes) => Buffer.from(bytes)) ?? Buffer.alloc(0)
  }

  /** Gives it away, to be wiped by its receiver; nothing is held from here on. */
  release(): SecretBytes | undefined {
    const released = this.#newest
    this.#room.exchange(released?.length ?? 0, 0)
    this.#newest = undefined
    this.#isClosed = true
    return released
  }

  /** Zeroes it; nothing is held from here on. */
  close(): void {
    this.release()?.wipe()
  }
}

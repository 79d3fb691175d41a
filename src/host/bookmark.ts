import { LatchkeyError } from '../core/errors.ts'
import { SecretBytes } from '../core/secret-bytes.ts'
import { MAX_BOOKMARK_BYTES } from '../wire/limits.ts'
import type { BookmarkRoom, Charge } from './bookmark-room.ts'

/**
 * The newest bookmark that the daemon gave for one volume: what a later daemon needs to go on with the
 * sessions and leases of this one. It lives in this process only. A host that is killed loses it, and so
 * does one that stops: the daemon's own session can still be resumed for a while; where that is gone too,
 * what was minted ends by its time to live at the source, which is why that is to be short.
 */
export class HeldBookmark {
  readonly #room: BookmarkRoom
  readonly #namespace: () => string
  #charge: Charge | undefined
  #newest: SecretBytes | undefined
  #isClosed = false

  /** `namespace`: of the volume's pod; '' for as long as that is not known, after an adoption. */
  constructor(room: BookmarkRoom, namespace: () => string) {
    this.#room = room
    this.#namespace = namespace
  }

  get isEmpty(): boolean {
    return this.#newest === undefined
  }

  /** That it counts for; '' for none and for one that is not known. */
  get namespace(): string {
    return this.#charge?.namespace ?? ''
  }

  /**
   * Takes the place of the older one, which is zeroed, and so is `data`; no bytes: there is nothing to
   * remember any more. Throws: PayloadTooLarge · Overloaded, with the older one still held.
   */
  hold(data: Buffer): void {
    try {
      if (data.length > MAX_BOOKMARK_BYTES) {
        throw new LatchkeyError(
          'PayloadTooLarge',
          `bookmark: ${data.length} bytes, ${MAX_BOOKMARK_BYTES} allowed`,
        )
      }
      if (this.#isClosed) return
      this.#takePlace(data.length)
      this.#newest?.wipe()
      // A copy: what came from the wire is a window on a message of up to 5 MiB, and would keep all of it.
      this.#newest = data.length > 0 ? SecretBytes.copyOf(data) : undefined
    } finally {
      data.fill(0)
    }
  }

  /** For one message; whoever sends it zeroes it. */
  copy(): Buffer {
    return this.#newest?.use((bytes) => Buffer.from(bytes)) ?? Buffer.alloc(0)
  }

  /** Zeroes it; nothing is held from here on. */
  close(): void {
    this.#isClosed = true
    this.#newest?.wipe()
    this.#newest = undefined
    this.#takePlace(0)
  }

  #takePlace(bytes: number): void {
    this.#charge = this.#room.exchange(this.#charge, this.#namespace(), bytes)
  }
}

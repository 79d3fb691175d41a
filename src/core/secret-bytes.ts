import { timingSafeEqual } from 'node:crypto'
import { inspect } from 'node:util'

/**
 * The only home of secret values and tokens: it prints as `[secret 32 B]` wherever a careless
 * template, logger or JSON encoder touches it.
 *
 * The bytes are not copied on the way in: whoever hands a buffer over gives it up. V8 may have moved
 * or copied what once was a string; `wipe` zeroes this buffer and promises no more.
 */
export class SecretBytes {
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** A value of its own, off Node's shared pool, so that wiping it cannot touch a neighbour. */
  static copyOf(bytes: Uint8Array): SecretBytes {
    // Not allocUnsafeSlow: buffers of at most 64 bytes lie within V8's heap, and when the garbage collector
    // moves one it leaves the bytes at the old place, which no wipe would reach.
    const own = Buffer.from(new ArrayBuffer(bytes.length))
    own.set(bytes)
    return new SecretBytes(own)
  }

  get length(): number {
    return this.#bytes.length
  }

  /** Lends the bytes for the length of one call; do not keep them. */
  use<T>(borrow: (bytes: Buffer) => T): T {
    return borrow(this.#bytes)
  }

  equals(other: SecretBytes): boolean {
    return this.length === other.length && timingSafeEqual(this.#bytes, other.#bytes)
  }

  wipe(): void {
    this.#bytes.fill(0)
  }

  toString(): string {
    return `[secret ${this.length} B]`
  }

  toJSON(): string {
    return this.toString()
  }

  [inspect.custom](): string {
    return this.toString()
  }
}

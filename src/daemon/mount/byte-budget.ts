import { Charges } from '../../core/charges.ts'
import { LatchkeyError } from '../../core/errors.ts'

export interface ByteLimits {
  readonly namespaceBytes: number
  readonly nodeBytes: number
}

/**
 * How much of the node's memory the volumes hold, and which namespace how much of it: tmpfs pages are
 * charged to the host container, and one tenant must not use up what belongs to all.
 */
export class ByteBudget {
  readonly #limits: ByteLimits
  readonly #charges: Charges

  constructor(limits: ByteLimits) {
    this.#limits = limits
    this.#charges = new Charges(limits.nodeBytes)
  }

  /** Sets what a volume holds, in place of what it held. Throws: Overloaded, with the former holding kept. */
  hold(volumeId: string, namespace: string, bytes: number): void {
    const { room } = this.#charges
    const more = bytes - this.#charges.bytesOf(volumeId)
    if (room.of(namespace) + more > this.#limits.namespaceBytes) {
      const allowed = this.#limits.namespaceBytes
      throw new LatchkeyError(
        'Overloaded',
        `volumes of namespace "${namespace}" on this node would hold more than ${allowed} bytes (limits.namespaceBytes)`,
      )
    }
    if (room.total + more > room.most) {
      throw new LatchkeyError(
        'Overloaded',
        `volumes of this node would hold more than ${this.#limits.nodeBytes} bytes (limits.nodeBytes)`,
      )
    }
    this.#charges.set(volumeId, namespace, bytes)
  }

  release(volumeId: string): void {
    this.#charges.release(volumeId)
  }

  get totalBytes(): number {
    return this.#charges.room.total
  }
}

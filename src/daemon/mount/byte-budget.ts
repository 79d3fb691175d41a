import { LatchkeyError } from '../../core/errors.ts'
import { Shares } from '../../core/shares.ts'

export interface ByteLimits {
  readonly namespaceBytes: number
  readonly nodeBytes: number
}

interface Holding {
  readonly namespace: string
  readonly bytes: number
}

/**
 * How much of the node's memory the volumes hold, and which namespace how much of it: tmpfs pages are
 * charged to the host container, and one tenant must not use up what belongs to all.
 */
export class ByteBudget {
  readonly #limits: ByteLimits
  readonly #holdings = new Map<string, Holding>()
  readonly #shares: Shares

  constructor(limits: ByteLimits) {
    this.#limits = limits
    this.#shares = new Shares(limits.nodeBytes)
  }

  /** Sets what a volume holds, in place of what it held. Throws: Overloaded, with the former holding kept. */
  hold(volumeId: string, namespace: string, bytes: number): void {
    const before = this.#holdings.get(volumeId)
    const more = bytes - (before?.bytes ?? 0)
    if (this.#shares.of(namespace) + more > this.#limits.namespaceBytes) {
      const allowed = this.#limits.namespaceBytes
      throw new LatchkeyError(
        'Overloaded',
        `volumes of namespace "${namespace}" on this node would hold more than ${allowed} bytes (limits.namespaceBytes)`,
      )
    }
    if (this.#shares.total + more > this.#shares.most) {
      throw new LatchkeyError(
        'Overloaded',
        `volumes of this node would hold more than ${this.#limits.nodeBytes} bytes (limits.nodeBytes)`,
      )
    }
    this.release(volumeId)
    this.#holdings.set(volumeId, { namespace, bytes })
    this.#shares.add(namespace, bytes)
  }

  release(volumeId: string): void {
    const holding = this.#holdings.get(volumeId)
    if (holding === undefined) return
    this.#holdings.delete(volumeId)
    this.#shares.add(holding.namespace, -holding.bytes)
  }

  get totalBytes(): number {
    return this.#shares.total
  }
}

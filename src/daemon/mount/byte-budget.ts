import { LatchkeyError } from '../../core/errors.ts'
import type { VolumeFile } from '../../core/types.ts'

const PAGE_BYTES = 4096
const INODE_BYTES = 2048

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
  readonly #perNamespace = new Map<string, number>()
  #total = 0

  constructor(limits: ByteLimits) {
    this.#limits = limits
  }

  /** Sets what a volume holds, in place of what it held. Throws: Overloaded, with the former holding kept. */
  hold(volumeId: string, namespace: string, bytes: number): void {
    const before = this.#holdings.get(volumeId)
    const more = bytes - (before?.bytes ?? 0)
    const ofNamespace = this.#perNamespace.get(namespace) ?? 0
    if (ofNamespace + more > this.#limits.namespaceBytes) {
      const allowed = this.#limits.namespaceBytes
      throw new LatchkeyError(
        'Overloaded',
        `volumes of namespace "${namespace}" on this node would hold more than ${allowed} bytes (limits.namespaceBytes)`,
      )
    }
    if (this.#total + more > this.#limits.nodeBytes) {
      throw new LatchkeyError(
        'Overloaded',
        `volumes of this node would hold more than ${this.#limits.nodeBytes} bytes (limits.nodeBytes)`,
      )
    }
    this.release(volumeId)
    this.#holdings.set(volumeId, { namespace, bytes })
    this.#add(namespace, bytes)
  }

  release(volumeId: string): void {
    const holding = this.#holdings.get(volumeId)
    if (holding === undefined) return
    this.#holdings.delete(volumeId)
    this.#add(holding.namespace, -holding.bytes)
  }

  get totalBytes(): number {
    return this.#total
  }

  #add(namespace: string, bytes: number): void {
    this.#total += bytes
    const sum = (this.#perNamespace.get(namespace) ?? 0) + bytes
    // A namespace that holds nothing leaves no entry: names come and go without end.
    if (sum === 0) this.#perNamespace.delete(namespace)
    else this.#perNamespace.set(namespace, sum)
  }
}

/** Files take whole pages of a tmpfs, and some more for their inodes and names. */
export function memoryOf(files: readonly VolumeFile[]): number {
  return files.reduce(
    (sum, { data }) =>
      sum + Math.max(1, Math.ceil(data.length / PAGE_BYTES)) * PAGE_BYTES + INODE_BYTES,
    0,
  )
}

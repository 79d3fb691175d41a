import { Charges } from '../core/charges.ts'
import { LatchkeyError } from '../core/errors.ts'
import type { CgroupMemory } from '../observability/cgroup-memory.ts'

const MIB = 1024 ** 2
/** Seen: 200 MiB of 3,000 publishes at once, in a process that compiles its sources as it starts. */
export const PROCESS_BYTES = 192 * MIB
/** What lies there and what takes its place, of all volumes at once. */
export const COPIES = 2

/**
 * Memory for files, where nobody has set it: the kernel charges a page of a tmpfs to the container that wrote it,
 * and ends this process where that goes beyond the container's limit.
 */
export function fileBytesWithin(memory: CgroupMemory | undefined, nodeBytes: number): number {
  const limitBytes = memory?.limitBytes
  if (limitBytes === undefined) return COPIES * nodeBytes
  return Math.max(limitBytes - PROCESS_BYTES, Math.floor(limitBytes / 4))
}

/**
 * How much memory the files of all volumes take, old generations that lie there still included, and those of
 * which namespace how much of it. Whatever the daemon sends, this process stays within it.
 */
export class FileRoom {
  readonly #charges: Charges

  constructor(mostBytes: number) {
    this.#charges = new Charges(mostBytes)
  }

  get bytes(): number {
    return this.#charges.room.total
  }

  get mostBytes(): number {
    return this.#charges.room.most
  }

  /** Throws: Overloaded where a volume of that namespace may not take so much more. */
  check(namespace: string, moreBytes: number): void {
    if (this.#charges.room.fits(namespace, moreBytes)) return
    const own = this.#charges.room.of(namespace)
    throw new LatchkeyError(
      'Overloaded',
      `files of this node would take more memory than they may: ${this.mostBytes} bytes for all (limits.tmpfsBytes), of which one namespace gets four of five that others leave, and "${namespace}" has ${own}`,
    )
  }

  /** Sets what a volume takes, in place of what it took; asks nobody, for that is there. */
  set(volumeId: string, namespace: string, bytes: number): void {
    this.#charges.set(volumeId, namespace, bytes)
  }

  release(volumeId: string): void {
    this.#charges.release(volumeId)
  }
}

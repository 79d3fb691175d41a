import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = '/sys/fs/cgroup'

interface Names {
  readonly limit: string
  readonly peak: string
  readonly used: string
}

const V1: Names = {
  limit: 'memory.limit_in_bytes',
  peak: 'memory.max_usage_in_bytes',
  used: 'memory.usage_in_bytes',
}
const V2: Names = { limit: 'memory.max', peak: 'memory.peak', used: 'memory.current' }

/** A control group of a test's own with a limit of memory, as a container has one. */
export class MemoryCgroup {
  readonly folder: string
  readonly #names: Names

  private constructor(folder: string, names: Names) {
    this.folder = folder
    this.#names = names
  }

  /** Throws: Error, saying why this machine has none for us. */
  static create(name: string, limitBytes: number): MemoryCgroup {
    const [parent, names] = memoryHierarchy()
    const folder = join(parent, name)
    mkdirSync(folder)
    try {
      writeFileSync(join(folder, names.limit), String(limitBytes))
      return new MemoryCgroup(folder, names)
    } catch (thrown) {
      rmdirSync(folder)
      throw thrown
    }
  }

  /** What the process touches first from here on is charged to this group, and so is what it forks. */
  join(pid: number): void {
    writeFileSync(join(this.folder, 'cgroup.procs'), String(pid))
  }

  get peakBytes(): number {
    return Number(readFileSync(join(this.folder, this.#names.peak), 'utf8'))
  }

  get usedBytes(): number {
    return Number(readFileSync(join(this.folder, this.#names.used), 'utf8'))
  }

  /** Once no process is in it any more. */
  remove(): void {
    rmdirSync(this.folder)
  }
}

/** Why a test cannot have one here; undefined where it can. */
export function whyNoMemoryCgroup(): string | undefined {
  try {
    MemoryCgroup.create(`latchkey-probe-${process.pid}`, 64 * 1024 * 1024).remove()
    return undefined
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown)
  }
}

/** Version 1 has a hierarchy for memory; in version 2 the root has to hand the controller down. */
function memoryHierarchy(): readonly [string, Names] {
  if (existsSync(join(ROOT, 'memory', V1.limit))) return [join(ROOT, 'memory'), V1]
  const handedDown = readFileSync(join(ROOT, 'cgroup.subtree_control'), 'utf8').trim().split(' ')
  if (handedDown.includes('memory')) return [ROOT, V2]
  throw new Error('no cgroup here hands the memory controller down')
}

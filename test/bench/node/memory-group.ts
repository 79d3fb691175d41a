import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const ROOT = '/sys/fs/cgroup'

/** A control group that counts the memory of what is put into it, as kubelet counts a container's. */
export class MemoryGroup {
  readonly #folder: string

  /** Throws: errors of node:fs, where this process may not make one. */
  constructor(parent: string, name: string) {
    this.#folder = join(parent, name)
    mkdirSync(this.#folder, { recursive: true })
  }

  add(pid: number): void {
    writeFileSync(join(this.#folder, 'cgroup.procs'), String(pid))
  }

  /** What `kubectl top` shows and eviction goes by: usage without the file pages that nobody used lately. */
  workingSetBytes(): number {
    const usage = ['memory.current', 'memory.usage_in_bytes']
      .map((name) => join(this.#folder, name))
      .find((file) => existsSync(file))
    if (usage === undefined) throw new Error(`${this.#folder} counts no memory`)
    const stat = readFileSync(join(this.#folder, 'memory.stat'), 'utf8')
    const inactive = /^(?:total_)?inactive_file (\d+)$/m.exec(
      stat.replace(/^inactive_file.*\n(?=[^]*^total_inactive_file)/m, ''),
    )
    return Number(readFileSync(usage, 'utf8')) - Number(inactive?.[1] ?? 0)
  }

  remove(): void {
    try {
      rmdirSync(this.#folder)
    } catch {
      // Its last process is being reaped; an empty group costs nothing.
    }
  }
}

/** Where groups of memory can be made below this process's own; undefined where there is no such place. */
export function findMemoryGroups(): string | undefined {
  const lines = readFileSync('/proc/self/cgroup', 'utf8').trim().split('\n')
  const own = lines
    .map((line) => line.split(':'))
    .find(([, names = '']) => names.split(',').includes('memory'))
  if (own !== undefined) return usable(join(ROOT, 'memory', own.slice(2).join(':')))
  // Version 2: groups beside processes get no controllers, so they are made at the root.
  return usable(ROOT)
}

function usable(folder: string): string | undefined {
  const probe = join(folder, `latchkey-bench-${process.pid}`)
  try {
    mkdirSync(probe)
    const counts = ['memory.current', 'memory.usage_in_bytes'].some((file) =>
      existsSync(join(probe, file)),
    )
    rmdirSync(probe)
    return counts ? folder : undefined
  } catch {
    return undefined
  }
}

import { cpus, loadavg, release, totalmem } from 'node:os'

/** What the figures were taken on: without it, only ratios mean anything. */
export interface Machine {
  readonly processor: string
  readonly cores: number
  readonly memoryGiB: number
  readonly kernel: string
  readonly node: string
  /** Of one minute, when the bench began: above 0 others worked here, too. */
  readonly load: number
}

export function describeMachine(): Machine {
  return {
    processor: cpus()[0]?.model.trim() ?? 'unknown processor',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  }
}

export function formatMachine(machine: Machine): string {
  const { processor, cores, memoryGiB, kernel, node, load } = machine
  return `${cores} x ${processor}, ${memoryGiB} GiB, Linux ${kernel}, Node ${node}, load ${load} at the start`
}

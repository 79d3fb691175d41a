import { readdirSync, readFileSync } from 'node:fs'

/** Memory of one process, in bytes. */
export interface ProcessMemory {
  /** Pages that are there, shared ones counted in full. */
  readonly rss: number
  /** Shared pages counted in parts: what the process adds to the node. */
  readonly pss: number
}

export function memoryOf(pid: number): ProcessMemory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const bytes = (name: string): number => {
    const [, kib] = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text) ?? []
    return Number(kib) * 1024
  }
  return { rss: bytes('Rss'), pss: bytes('Pss') }
}

/** CPU time that the threads of a process have had so far, in milliseconds: to the nanosecond, not to the tick. */
export function cpuMsOf(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  return threads.reduce((sum, tid) => {
    const [ns = '0'] = readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')
    return sum + Number(ns) / 1e6
  }, 0)
}

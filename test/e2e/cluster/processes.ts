import { readdirSync, readFileSync } from 'node:fs'

import { until } from './until.ts'

/** One process of this boot: the kernel hands out a pid again, but not with the same start time. */
export interface ProcessIdentity {
  readonly pid: number
  /** Clock ticks since boot. */
  readonly startTime: string
}

interface ProcessStatus extends ProcessIdentity {
  readonly parent: number
  readonly state: string
}

/** The process of that pid, or undefined when there is none. A zombie counts as gone. */
export function identify(pid: number): ProcessIdentity | undefined {
  const status = statusOf(pid)
  return status === undefined || status.state === 'Z'
    ? undefined
    : { pid, startTime: status.startTime }
}

/** Whether this very process still runs. */
export function isRunning(process: ProcessIdentity): boolean {
  return identify(process.pid)?.startTime === process.startTime
}

/** The living children of a process. */
export function childrenOf(pid: number): ProcessIdentity[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => statusOf(Number(name)))
    .filter((status) => status !== undefined)
    .filter((status) => status.parent === pid && status.state !== 'Z')
}

/** Sends the signal if that very process still runs. */
export function signalProcess(target: ProcessIdentity, name: NodeJS.Signals): void {
  if (!isRunning(target)) return
  try {
    process.kill(target.pid, name)
  } catch {
    // It ended between the look and the signal.
  }
}

/** Waits until that process is gone. */
export async function waitForEnd(
  target: ProcessIdentity,
  withinMs: number,
  signal?: AbortSignal,
): Promise<void> {
  await until(() => (isRunning(target) ? undefined : true), {
    what: `process ${target.pid} to end`,
    withinMs,
    everyMs: 20,
    signal,
  })
}

function statusOf(pid: number): ProcessStatus | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return undefined
  }
  // The command name stands in parentheses and may hold blanks and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state = '', parent = ''] = fields
  return { pid, state, parent: Number(parent), startTime: fields[19] ?? '' }
}

import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'

const LOOK_EVERY_MS = 10
/** Whatever the machine is busy with: beyond this nobody waits. */
const AT_MOST_MS = 90_000

/**
 * Waits until it is so, for at most `boundMs` of time in which nobody whom it takes had to stand in line for a
 * core: on a machine that has more to do than it can, seconds pass in which a side could not even try. Answers
 * whether it came to be so.
 */
export async function waitPatiently(
  isSo: () => boolean,
  boundMs: number,
  pids: readonly number[],
): Promise<boolean> {
  const startedMs = performance.now()
  const stoodBeforeMs = standingMs(pids)
  while (!isSo()) {
    const passedMs = performance.now() - startedMs
    const stoodMs = standingMs(pids) - stoodBeforeMs
    if (passedMs > AT_MOST_MS || passedMs - stoodMs > boundMs) return false
    await delay(LOOK_EVERY_MS)
  }
  return true
}

/** How long the processes' main threads were ready to run and did not: proc(5), /proc/PID/schedstat. */
function standingMs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + nanosecondsInLine(pid) / 1e6, 0)
}

function nanosecondsInLine(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1])
  } catch {
    // Dead meanwhile, or a kernel that does not count this: then there is no patience to be had.
    return 0
  }
}

import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

/** What changes a file system, of the calls that the sources use. Opening counts where it creates. */
const CHANGES = [
  'mkdirSync',
  'openSync',
  'writeSync',
  'writeFileSync',
  'fchownSync',
  'fchmodSync',
  'lchownSync',
  'lutimesSync',
  'symlinkSync',
  'renameSync',
  'unlinkSync',
  'rmdirSync',
  'rmSync',
] as const

type Change = (typeof CHANGES)[number]
type Call = (...args: unknown[]) => unknown

/**
 * Runs `work` with `before` called ahead of every change to a file system; what it throws, the change
 * throws. Nothing in the sources knows of it: the exports of node:fs are swapped for the time.
 */
export function withFsFaults(
  before: (change: Change, args: readonly unknown[]) => void,
  work: () => void,
): void {
  const calls = fs as unknown as Record<Change, Call>
  const originals = CHANGES.map((name) => [name, calls[name]] as const)
  for (const [name, original] of originals) {
    calls[name] = (...args) => {
      if (name !== 'openSync' || creates(args)) before(name, args)
      return original(...args)
    }
  }
  syncBuiltinESMExports()
  try {
    work()
  } finally {
    for (const [name, original] of originals) calls[name] = original
    syncBuiltinESMExports()
  }
}

/**
 * Runs `work` as if the process died ahead of its `change`-th change: that one and every later one fails,
 * so that no tidying up happens either. Reports whether it came that far.
 */
export function crashAt(change: number, work: () => void): boolean {
  const process = { changes: 0, isDead: false }
  const die = (): void => {
    process.changes += 1
    if (process.changes < change) return
    process.isDead = true
    throw new Error('the process has died')
  }
  try {
    withFsFaults(die, work)
  } catch (thrown) {
    if (!process.isDead) throw thrown
  }
  return process.isDead
}

function creates([, flags]: readonly unknown[]): boolean {
  return typeof flags === 'number' && (flags & fs.constants.O_CREAT) !== 0
}

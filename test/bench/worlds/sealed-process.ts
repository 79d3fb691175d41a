import { spawn } from 'node:child_process'
import { join } from 'node:path'

import type { Binaries } from '../../e2e/cluster/binaries.ts'
import type { Outcome } from '../row.ts'

/** The words before a command that give it namespaces of its own; all in them ends with their first process. */
export const SEAL: readonly [string, ...string[]] = [
  'unshare',
  ...['--mount', '--net', '--pid', '--ipc', '--uts'],
  ...['--fork', '--kill-child', '--mount-proc', '--'],
]

/** What the process in the seal is told, as its one argument. */
export interface SealedOrder {
  readonly rows: readonly string[]
  readonly isQuick: boolean
  readonly binaries: Binaries | undefined
}

/** What it tells of each row when it is done with it. */
export interface SealedAnswer {
  readonly row: string
  readonly outcome: Outcome
}

const PROGRAM = join(import.meta.dirname, 'sealed-main.ts')

/**
 * Measures rows in a process whose mounts, network and children are its own: nothing of them reaches this
 * machine, or outlives it. Answers what came of each; of those that it did not get to, nothing.
 */
export async function measureSealed(
  order: SealedOrder,
  onAnswer: (answer: SealedAnswer) => void,
): Promise<void> {
  const [unshare, ...words] = SEAL
  const args = [...words, process.execPath, PROGRAM, JSON.stringify(order)]
  const child = spawn(unshare, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const stop = (): void => {
    child.kill('SIGKILL')
  }
  process.once('exit', stop)
  child.on('message', (answer) => {
    onAnswer(answer as SealedAnswer)
  })
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', () => {
      resolve()
    })
  })
  process.off('exit', stop)
}

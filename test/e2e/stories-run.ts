import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { globSync } from 'node:fs'
import { join } from 'node:path'

import type { TestCount } from '../test-count.ts'
import { countTests } from '../test-count.ts'
import type { ClusterDescription } from './cluster/cluster.ts'
import { DESCRIPTION_VARIABLE } from './cluster/cluster.ts'
import { findProgram } from './cluster/packages.ts'

const PROJECT = join(import.meta.dirname, '..', '..')
const AVA = join(PROJECT, 'node_modules', '.bin', 'ava')
const STOP_WITHIN_MS = 5_000

export interface StoriesResult {
  readonly count: TestCount
  readonly succeeded: boolean
}

interface StoriesOptions {
  readonly description: ClusterDescription
  /** Title, `*` matching anything. */
  readonly only?: string | undefined
  readonly signal: AbortSignal
}

/** Runs AVA over the stories and shows its lines as they come: first those that bear company. */
export async function runStories(options: StoriesOptions): Promise<StoriesResult> {
  if (globSync('test/e2e/stories/*.test.ts', { cwd: PROJECT }).length === 0) {
    process.stdout.write('e2e: there are no stories in test/e2e/stories\n')
    return { count: { passed: 0, failed: 0, skipped: 0 }, succeeded: false }
  }
  // AVA takes it for a failure when no title of a run fits, so a choice is made among all of them.
  const rounds = options.only === undefined ? ['calm', 'stormy'] : ['all']
  const results: StoriesResult[] = []
  for (const round of rounds) {
    if (!options.signal.aborted) results.push(await runRound(round, options))
  }
  const sum = (of: (count: TestCount) => number): number =>
    results.reduce((total, { count }) => total + of(count), 0)
  return {
    count: {
      passed: sum(({ passed }) => passed),
      failed: sum(({ failed }) => failed),
      skipped: sum(({ skipped }) => skipped),
    },
    succeeded: results.length === rounds.length && results.every(({ succeeded }) => succeeded),
  }
}

async function runRound(
  round: string,
  { description, only, signal }: StoriesOptions,
): Promise<StoriesResult> {
  const match = only === undefined ? [] : ['--match', only]
  const ava = [process.execPath, AVA, '--config', 'ava.e2e.config.js', ...match]
  // Should this process be killed, the stories are not to go on without a cluster.
  const leash = findProgram('setpriv') === undefined ? [] : ['setpriv', '--pdeathsig', 'KILL', '--']
  const [file = '', ...args] = [...leash, ...ava]
  const child = spawn(file, args, {
    cwd: PROJECT,
    env: {
      ...process.env,
      [DESCRIPTION_VARIABLE]: JSON.stringify(description),
      LATCHKEY_E2E_STORIES: round,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  })
  const stop = (): void => {
    // Tests cut off here tear nothing down; whoever made the cluster clears up after them.
    endGroup(child.pid, 'SIGTERM')
    setTimeout(() => {
      endGroup(child.pid, 'SIGKILL')
    }, STOP_WITHIN_MS).unref()
  }
  signal.addEventListener('abort', stop)
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString()
    process.stdout.write(chunk)
  })
  try {
    const [exitCode] = (await once(child, 'close')) as [number | null]
    return { count: countTests(output), succeeded: exitCode === 0 && !signal.aborted }
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

function endGroup(pid: number | undefined, name: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, name)
  } catch {
    // It has ended by itself.
  }
}

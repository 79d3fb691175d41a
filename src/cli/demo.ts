import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { DemoFailure, Narrator } from './demo-narrator.ts'
import { tellStory } from './demo-story.ts'

/** Set in the process that already stands in a mount namespace of its own. */
const INSIDE = 'LATCHKEY_DEMO_INSIDE'
const ROOT = 0

/**
 * `latchkey demo`: the whole of it on one machine. Runs itself again in a mount namespace of its own, so that
 * real volumes can be mounted and none can be left behind; where that is not allowed, plain folders stand in.
 * Answers the exit code.
 */
export async function runDemo(): Promise<number> {
  const isRoot = process.getuid?.() === ROOT
  if (process.env[INSIDE] !== undefined) return tell(isRoot)
  // A user namespace makes a root of anybody, where the system allows it.
  const flags = isRoot ? ['-m'] : ['-Urm']
  const mayUnshare = (await run('unshare', [...flags, 'true'], 'ignore')) === 0
  if (!mayUnshare) return tell(false)
  const self = [process.execPath, ...process.execArgv, process.argv[1] ?? '', 'demo']
  return run('unshare', [...flags, ...self], 'inherit')
}

async function tell(mayMount: boolean): Promise<number> {
  const narrator = new Narrator((line) => process.stdout.write(`${line}\n`))
  try {
    await tellStory(narrator, mayMount)
    return 0
  } catch (thrown) {
    if (!(thrown instanceof DemoFailure)) throw thrown
    narrator.fail(thrown.message)
    return 1
  }
}

/** Answers the exit code; 127 where there is no such program. */
async function run(
  program: string,
  args: readonly string[],
  stdio: 'ignore' | 'inherit',
): Promise<number> {
  const child = spawn(program, args, { stdio, env: { ...process.env, [INSIDE]: '1' } })
  try {
    const [code] = (await once(child, 'exit')) as [number | null]
    return code ?? 1
  } catch {
    return 127
  }
}

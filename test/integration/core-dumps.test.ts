import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { KeyedQueue } from '../../src/core/keyed-queue.ts'
import { bind } from '../../src/syscalls/libc.ts'
import { mountTest } from '../support/mount-namespace.ts'
import { addPod, startWorld, untilReads } from './leak-world.ts'

/*
 * Both sides, and beside them a plain Node, killed alike by signals that dump core, where every process may write
 * one of any size. This process raises its own limit, and all of them inherit it.
 */
const RLIMIT_CORE = 4
const UNLIMITED = Buffer.alloc(16, 0xff)
const CANARY = Buffer.from('canary-in-the-memory-of-a-plain-node')
/** Holds the canary, which stands neither in its words nor in its environment, and says so. */
const PLAIN = `globalThis.kept = Buffer.from('${CANARY.toString('hex')}', 'hex')
  setInterval(() => undefined, 1_000)
  console.log('ready')`
const DUMPING_SIGNALS = ['SIGABRT', 'SIGSEGV'] as const

/** A plain name makes a file in the dying process's own folder; elsewhere cores are not ours to look for. */
const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim()
const isPlainName = pattern !== '' && !/[|/]/.test(pattern)
const setrlimit = bind('setrlimit', 'int setrlimit(int, void *)')
// One after the other: each is two processes and a cluster.
const turns = new KeyedQueue(8)

function dumpTest(title: string, implementation: (t: ExecutionContext) => Promise<void>): void {
  if (isPlainName) mountTest(title, implementation)
  else test.skip(`${title} (kernel.core_pattern has to be a plain name)`, implementation)
}

for (const signal of DUMPING_SIGNALS) {
  dumpTest(
    `both sides leave no core when ${signal} kills them, a plain Node beside them does`,
    (t) => {
      t.timeout(120_000)
      return turns.run('world', () => tellStory(t, signal))
    },
  )
}

async function tellStory(t: ExecutionContext, signal: NodeJS.Signals): Promise<void> {
  setrlimit(RLIMIT_CORE, UNLIMITED)
  const world = await startWorld(t, { level: 'error' })
  const { folder, work, canaries, sides } = world
  await untilReads(world, addPod(world, 'api-0', { secret: 'db-api' }), canaries.change('api'))

  const beside = join(folder, 'beside')
  mkdirSync(beside)
  const plain = spawn(process.execPath, ['-e', PLAIN], { cwd: beside, stdio: 'pipe' })
  await once(plain.stdout, 'data')
  plain.kill(signal)
  const [, plainEnd] = (await once(plain, 'exit')) as [number | null, string | null]
  t.is(plainEnd, signal)
  const [core = ''] = readdirSync(beside)
  t.not(core, '', 'a plain Node leaves a core, so one of ours would be seen')
  t.true(readFileSync(join(beside, core)).includes(CANARY), 'and all that it had in memory')

  for (const side of [sides.daemon, sides.host]) {
    side.signal(signal)
    t.is(await side.ended(), signal)
  }
  t.deepEqual(readdirSync(work), [])
}

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import type { Config } from '../../src/config/config.ts'
import { KeyedQueue } from '../../src/core/keyed-queue.ts'
import { mountTest } from '../support/mount-namespace.ts'
import type { Needle } from '../support/process-memory.ts'
import { mountsBelow } from '../support/tmpfs-world.ts'
import { until } from '../support/until.ts'
import { addPod, mountOf, SLOW_MS, startWorld, untilReads, type World } from './leak-world.ts'

/*
 * Both sides as they are started in production, each a process, with secrets and tokens that are known: they
 * are looked for wherever somebody else could read.
 */
const CRASH_TEXT = 'canary-in-the-text-of-an-error'
/** Throws where nobody catches it, as a bug would, with a text that must not be shown. */
const CRASHER = `process.on('SIGUSR2', () => { throw new Error('${CRASH_TEXT}') })`
const INSPECTOR_PORT = 9229

/** Every kind of refusal that one comes by, and each with tokens and secrets at hand. */
async function walkErrorPaths(world: World): Promise<void> {
  const { cluster } = world
  const refused = [
    addPod(world, 'denied', { secret: 'db-web' }),
    addPod(world, 'missing', { secret: 'not-there' }),
    addPod(world, 'mistaken', { items: '- { secret: db-api, path: ../evil }' }),
    addPod(world, 'unknown', { sekret: 'db-api' }),
  ]
  for (const pod of refused) {
    await until(() => cluster.kubelet.events(pod).length > 0, {
      what: `an event of ${pod.name}`,
      timeoutMs: SLOW_MS,
    })
  }
  await cluster.api.down()
  const late = addPod(world, 'late', { secret: 'db-api' })
  await until(() => cluster.kubelet.events(late).length > 0, {
    what: 'an event of an outage',
    timeoutMs: SLOW_MS,
  })
  await cluster.api.up()
  await cluster.kubelet.restart()
  for (const pod of [...refused, late]) cluster.objects.deletePod(pod)
}

/** What a program shows when it is asked a question. */
async function answersOf({ start }: World, commands: readonly string[]): Promise<Buffer> {
  const texts: string[] = []
  for (const command of commands) {
    const asked = start(command)
    await asked.ended()
    texts.push(asked.output.stdout, asked.output.stderr)
  }
  return Buffer.from(texts.join('\n'), 'latin1')
}

/** Everything below a folder but what is mounted there: the disk of the node. */
function disk(folder: string): ReadonlyMap<string, Buffer> {
  const mounts = new Set(mountsBelow(folder).map(({ mountPoint }) => mountPoint))
  const found = new Map<string, Buffer>()
  const look = (path: string): void => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      const at = join(path, entry.name)
      if (entry.isDirectory() && !mounts.has(at)) look(at)
      else if (entry.isFile()) found.set(at, readFileSync(at))
    }
  }
  look(folder)
  return found
}

function findIn(places: ReadonlyMap<string, Buffer>, needles: readonly Needle[]): string[] {
  return [...places].flatMap(([place, bytes]) =>
    needles
      .filter((needle) => bytes.includes(needle.bytes))
      .map(({ name, form }) => `${name}, ${form}, in ${place}`),
  )
}

async function placesOf(world: World): Promise<Map<string, Buffer>> {
  const { folder, port, cluster, sides } = world
  const places = new Map(disk(folder))
  for (const [name, side] of Object.entries(sides)) {
    places.set(`the cmdline of the ${name}`, readFileSync(`/proc/${side.pid}/cmdline`))
    places.set(`the environ of the ${name}`, readFileSync(`/proc/${side.pid}/environ`))
  }
  for (const page of ['metrics', 'healthz', 'readyz', 'healthz/host', 'nothing']) {
    const answer = await fetch(`http://127.0.0.1:${port}/${page}`)
    places.set(`the page ${page}`, Buffer.from(await answer.arrayBuffer()))
  }
  places.set('list and doctor', await answersOf(world, ['list', 'doctor']))
  const events = cluster.objects.pods
    .listOn(cluster.nodeName)
    .map((pod) => cluster.objects.events(pod))
  places.set('events', Buffer.from(JSON.stringify(events)))
  return places
}

function outputsOf({ sides }: World): Map<string, Buffer> {
  return new Map(
    Object.entries(sides).map(([name, { output }]) => [
      `the output of the ${name}`,
      Buffer.from(output.stdout + output.stderr, 'latin1'),
    ]),
  )
}

/** The kernel's word on what a process may leave behind. */
function coreLimitOf(pid: number): string {
  const limits = readFileSync(`/proc/${pid}/limits`, 'utf8')
  return /^Max core file size +(\S+ +\S+)/m.exec(limits)?.[1] ?? ''
}

/** Whether somebody listens at Node's port for debuggers, in the namespace of a process. */
function isDebuggerOpen(pid: number): boolean {
  const port = INSPECTOR_PORT.toString(16).toUpperCase().padStart(4, '0')
  return ['tcp', 'tcp6']
    .map((table) => readFileSync(`/proc/${pid}/net/${table}`, 'utf8'))
    .some((text) => new RegExp(`:${port} \\S+ 0A`).test(text))
}

// One after the other: each is two processes and a cluster.
const turns = new KeyedQueue(8)

/** Every level that the configuration knows, and which side ends there by an error that nobody catches. */
const ERRING: Readonly<Record<Config['log']['level'], 'daemon' | 'host'>> = {
  error: 'daemon',
  warn: 'daemon',
  info: 'daemon',
  debug: 'host',
}

for (const level of Object.keys(ERRING) as Config['log']['level'][]) {
  mountTest(
    `nothing leaks at log level ${level}, whatever goes wrong, nor into the next pod of a name`,
    (t) => {
      t.timeout(480_000)
      return turns.run('world', () => tellStory(t, level))
    },
  )
}

async function tellStory(t: ExecutionContext, level: Config['log']['level']): Promise<void> {
  const execArgv = ['--import', `data:text/javascript,${encodeURIComponent(CRASHER)}`]
  const world = await startWorld(t, { level, execArgv })
  const { cluster, canaries, sides, folder } = world
  const first = addPod(world, 'api-0', { secret: 'db-api' })
  await untilReads(world, first, canaries.change('api'))
  const mounted = new Map([['the mount', readFileSync(`${mountOf(world, first)}/short`)]])
  t.true(findIn(mounted, canaries.needles).length > 0, 'the needles are found where they are')
  await walkErrorPaths(world)
  t.deepEqual(findIn(await placesOf(world), canaries.needles), [])

  const ofFirst = [...canaries.needles]
  cluster.objects.deletePod(first)
  await cluster.kubelet.until(first, 'Gone')
  const second = addPod(world, 'api-0', { secret: 'db-api' })
  t.not(second.uid, first.uid)
  await untilReads(world, second, canaries.change('api'))
  t.deepEqual(
    mountsBelow(folder).map(({ mountPoint }) => mountPoint),
    [mountOf(world, second)],
  )
  const data = mountOf(world, second)
  const seen = readdirSync(data).filter((name) => !name.startsWith('..'))
  const files = new Map(seen.map((name) => [name, readFileSync(`${data}/${name}`)]))
  t.deepEqual(seen.toSorted(), ['large', 'short'])
  t.deepEqual(findIn(files, ofFirst), [])

  for (const { pid } of Object.values(sides)) t.is(coreLimitOf(pid).replace(/ +/, ' '), '0 0')
  for (const side of Object.values(sides)) side.signal('SIGUSR1')
  // An answer from each after the signal; a debugger would be open by then.
  t.deepEqual(findIn(await placesOf(world), canaries.needles), [])
  for (const { pid, isRunning } of Object.values(sides)) {
    t.true(isRunning)
    t.false(isDebuggerOpen(pid))
  }

  // One side ends by an error that nobody catches, the other by a signal that would dump core.
  const [erring, aborted] =
    ERRING[level] === 'host' ? [sides.host, sides.daemon] : [sides.daemon, sides.host]
  erring.signal('SIGUSR2')
  t.is(await erring.ended(), 1)
  aborted.signal('SIGABRT')
  t.is(await aborted.ended(), 'SIGABRT')
  const outputs = outputsOf(world)
  const text = [...outputs.values()].map((bytes) => bytes.toString('latin1')).join('\n')
  t.regex(text, /latchkey: error: unexpected/)
  t.false(text.includes(CRASH_TEXT))
  t.deepEqual(findIn(outputs, canaries.needles), [])
  t.deepEqual(readdirSync(join(folder, 'work')), [])
  t.deepEqual(findIn(disk(folder), canaries.needles), [])
}

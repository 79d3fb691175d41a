import { once } from 'node:events'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer } from 'node:net'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { loadCsi } from '../../src/wire/protos.ts'
import { unixChannel } from '../../src/wire/unix-channel.ts'
import { UnixServer } from '../../src/wire/unix-server.ts'
import { outcomeOfDial } from '../support/dial.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { tempDir } from '../support/temp-dir.ts'
import { until } from '../support/until.ts'

type Answer = (error: null, response: { ready: { value: boolean } }) => void

interface World {
  readonly server: UnixServer
  readonly path: string
  readonly clock: FakeClock
  /** Calls that wait for their answer. */
  readonly held: Answer[]
}

interface Changes {
  readonly path?: string
  readonly maxConnections?: number
  readonly admits?: () => boolean
  readonly ownsFolder?: boolean
  readonly idleMs?: number
}

async function listen(t: ExecutionContext, changes: Changes = {}): Promise<World> {
  const path = changes.path ?? `${tempDir(t)}/own/x.sock`
  const clock = new FakeClock()
  const held: Answer[] = []
  const server = await UnixServer.listen({
    path,
    services: [
      {
        definition: loadCsi().Identity.service,
        handlers: {
          Probe: (_: unknown, answer: Answer) => {
            held.push(answer)
          },
        },
      },
    ],
    maxMessageBytes: 1024,
    maxConnections: changes.maxConnections ?? 16,
    ownsFolder: changes.ownsFolder ?? true,
    admits: changes.admits ?? (() => true),
    clock,
    ...(changes.idleMs === undefined ? {} : { idleMs: changes.idleMs }),
  })
  t.teardown(async () => {
    const closing = server.close(0)
    await clock.advance(1)
    await closing
  })
  return { server, path, clock, held }
}

/** A call of Probe: its outcome in a word. */
function probe(t: ExecutionContext, path: string): Promise<string> {
  const { target, credentials, options } = unixChannel(path, 1024)
  const client = new (loadCsi().Identity)(target, credentials, options)
  t.teardown(() => {
    client.close()
  })
  return promisify((done: (error: Error | null) => void) =>
    client.probe({}, { deadline: Date.now() + 10_000 }, (error) => {
      done(error)
    }),
  )().then(
    () => 'answered',
    () => 'failed',
  )
}

test('the socket is born with mode 0600 in a folder of mode 0700, and nothing else lies there', async (t) => {
  const { path } = await listen(t)
  t.is(statSync(path).mode & 0o777, 0o600)
  t.is(statSync(dirname(path)).mode & 0o777, 0o700)
  t.deepEqual(readdirSync(dirname(path)), ['x.sock'])
})

test('a folder that others may look into is closed to them', async (t) => {
  const folder = tempDir(t)
  chmodSync(folder, 0o755)
  await listen(t, { path: `${folder}/x.sock` })
  t.is(statSync(folder).mode & 0o777, 0o700)
})

test("a folder that is kubelet's keeps its mode", async (t) => {
  const folder = tempDir(t)
  chmodSync(folder, 0o750)
  await listen(t, { path: `${folder}/x.sock`, ownsFolder: false })
  t.is(statSync(folder).mode & 0o777, 0o750)
})

test("kubelet's folder that is not there is named, with the setting to look at", async (t) => {
  const path = `${tempDir(t)}/plugins_registry/x.sock`
  const error = await t.throwsAsync(listen(t, { path, ownsFolder: false }), {
    instanceOf: LatchkeyError,
  })
  t.is(error.reason, 'InvalidRequest')
  t.regex(error.message, /plugins_registry.*kubelet\.root/)
})

test('files that the process makes afterwards have the modes that they had before', async (t) => {
  const folder = tempDir(t)
  const modeOf = (name: string): number => {
    writeFileSync(`${folder}/${name}`, '', { mode: 0o666 })
    return statSync(`${folder}/${name}`).mode
  }
  const before = modeOf('before')
  await listen(t)
  t.is(modeOf('after'), before)
})

test('a folder that is a link is refused', async (t) => {
  const folder = tempDir(t)
  mkdirSync(`${folder}/elsewhere`)
  symlinkSync(`${folder}/elsewhere`, `${folder}/link`)
  await t.throwsAsync(listen(t, { path: `${folder}/link/x.sock` }), {
    instanceOf: LatchkeyError,
    message: /socket folder .*\/link is a link or not our own/,
  })
  t.deepEqual(readdirSync(`${folder}/elsewhere`), [])
})

test('a path that no socket address can hold is refused, and nothing is bound at a cut-off name', async (t) => {
  const folder = tempDir(t)
  for (const bytes of [100, 108, 200]) {
    const path = `${folder}/${'a'.repeat(bytes - folder.length - 1)}`
    const error = await t.throwsAsync(listen(t, { path }), { instanceOf: LatchkeyError })
    t.is(error.reason, 'InvalidRequest')
    t.regex(error.message, /longer than 99 bytes/)
  }
  t.deepEqual(readdirSync(folder), [])
})

test('the longest path that is allowed is served', async (t) => {
  const folder = tempDir(t)
  const path = `${folder}/${'a'.repeat(99 - folder.length - 1)}`
  const { server } = await listen(t, { path })
  t.true(server.isInPlace())
  t.is(await outcomeOfDial(path), 'greeted')
})

for (const { what, make } of [
  {
    what: 'a file',
    make: (path: string) => {
      writeFileSync(path, 'old')
    },
  },
  {
    what: 'a link to a file',
    make: (path: string, victim: string) => {
      symlinkSync(victim, path)
    },
  },
]) {
  test(`${what} at the path is replaced, and what a link points to is left alone`, async (t) => {
    const folder = tempDir(t)
    writeFileSync(`${folder}/victim`, 'precious')
    make(`${folder}/x.sock`, `${folder}/victim`)
    const { path } = await listen(t, { path: `${folder}/x.sock` })
    t.true(lstatSync(path).isSocket())
    t.is(readFileSync(`${folder}/victim`, 'utf8'), 'precious')
  })
}

test('a folder at the path is refused, and leaves no hidden socket and no listener behind', async (t) => {
  const folder = tempDir(t)
  mkdirSync(`${folder}/x.sock`)
  const error = await t.throwsAsync(listen(t, { path: `${folder}/x.sock` }), {
    instanceOf: LatchkeyError,
  })
  t.regex(error.message, /cannot listen on .*x\.sock: EISDIR/)
  await until(() => readdirSync(folder).length === 1, { what: 'the hidden socket to go' })
})

test('what a process that was killed before the rename left is removed, a living one’s is not', async (t) => {
  const folder = tempDir(t)
  const [stale, living, foreign] = ['.x.sock.abcdef', '.x.sock.123456', '.y.sock.abcdef'] as const
  // The kernel removes no file with the listener: renamed away, it stays behind as after a kill.
  for (const name of [stale, foreign]) {
    const killed = createServer().listen(`${folder}/${name}.bound`)
    await once(killed, 'listening')
    renameSync(`${folder}/${name}.bound`, `${folder}/${name}`)
    killed.close()
  }
  const starting = createServer().listen(`${folder}/${living}`)
  await once(starting, 'listening')
  t.teardown(() => starting.close())
  await listen(t, { path: `${folder}/x.sock` })
  t.deepEqual(readdirSync(folder).sort(), [living, foreign, 'x.sock'])
})

test('a folder that cannot be had is an error that names it', async (t) => {
  const file = `${tempDir(t)}/file`
  writeFileSync(file, '')
  await t.throwsAsync(listen(t, { path: `${file}/own/x.sock` }), {
    instanceOf: LatchkeyError,
    message: /cannot listen on .*x\.sock: ENOTDIR/,
  })
})

test('a peer that is not admitted is hung up on before a byte is said', async (t) => {
  const { path } = await listen(t, { admits: () => false })
  t.is(await outcomeOfDial(path), 'hung up on')
})

test('connections beyond the limit are hung up on, and places come free again', async (t) => {
  const { path } = await listen(t, { maxConnections: 2 })
  const first = connect(path)
  const second = connect(path)
  await Promise.all([once(first, 'data'), once(second, 'data')])
  t.is(await outcomeOfDial(path), 'hung up on')
  first.destroy()
  await until(async () => (await outcomeOfDial(path)) === 'greeted', { what: 'a free place' })
  second.destroy()
})

test('a flood of connections that call nothing is let go of, and a caller is served again', async (t) => {
  const { path, held } = await listen(t, { maxConnections: 8, idleMs: 500 })
  const flood = Array.from({ length: 8 }, () => connect(path))
  t.teardown(() => {
    for (const socket of flood) socket.destroy()
  })
  for (const socket of flood) socket.on('error', () => undefined).resume()
  await until(() => flood.every(({ closed }) => closed), { what: 'the flood to be let go of' })
  const outcome = probe(t, path)
  await until(() => held.length === 1, { what: 'the call to arrive' })
  held[0]?.(null, { ready: { value: true } })
  t.is(await outcome, 'answered')
})

test('a call under way is answered although the server is closing', async (t) => {
  const { server, path, held } = await listen(t)
  const outcome = probe(t, path)
  await until(() => held.length === 1, { what: 'the call to arrive' })
  const closing = server.close(60_000)
  t.false(statSync(path, { throwIfNoEntry: false })?.isSocket() ?? false)
  held[0]?.(null, { ready: { value: true } })
  t.is(await outcome, 'answered')
  await closing
})

test('a call that outlasts the drain is cut off, and not before', async (t) => {
  const { server, path, held, clock } = await listen(t)
  let outcome: string | undefined
  void probe(t, path).then((word) => {
    outcome = word
  })
  await until(() => held.length === 1, { what: 'the call to arrive' })
  const closing = server.close(5_000)
  await clock.advance(4_999)
  t.is(outcome, undefined)
  await clock.advance(1)
  await closing
  await until(() => outcome !== undefined, { what: 'the call to fail' })
  t.is(outcome, 'failed')
  t.is(clock.pending, 0)
})

test('a connection without a call does not hold up the end', async (t) => {
  const { server, path, clock } = await listen(t)
  const idle = connect(path)
  await once(idle, 'data')
  await server.close(60_000)
  t.is(clock.pending, 0)
  idle.destroy()
})

test('closing twice is closing once', async (t) => {
  const { server, path } = await listen(t)
  await server.close(0)
  await server.close(0)
  t.false(server.isInPlace())
  t.deepEqual(readdirSync(dirname(path)), [])
})

test('a socket that has been removed or replaced is noticed', async (t) => {
  const { server, path } = await listen(t)
  t.true(server.isInPlace())
  renameSync(path, `${path}.moved`)
  t.false(server.isInPlace())
  renameSync(`${path}.moved`, path)
  t.true(server.isInPlace())
  unlinkSync(path)
  writeFileSync(path, '')
  t.false(server.isInPlace())
})

test("a server that has been replaced leaves its successor's socket alone", async (t) => {
  const former = await listen(t)
  const latter = await listen(t, { path: former.path })
  t.false(former.server.isInPlace())
  await former.server.close(0)
  t.true(latter.server.isInPlace())
  t.is(await outcomeOfDial(latter.path), 'greeted')
})

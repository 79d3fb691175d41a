import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../src/core/clock.ts'
import { LatchkeyError } from '../../src/core/errors.ts'
import { createMountClient, type MountClient } from '../../src/wire/mount-client.ts'
import { MAX_MOUNT_MESSAGE_BYTES } from '../../src/wire/limits.ts'
import { loadMount } from '../../src/wire/protos.ts'
import { UnixServer } from '../../src/wire/unix-server.ts'
import { findSocket, vettedCredentials } from '../../src/wire/vetted-socket.ts'
import { tempDir } from '../support/temp-dir.ts'
import { until } from '../support/until.ts'

const OWN_UID = process.getuid?.() ?? -1
const OTHER_UID = 65_534
const TIMEOUT_MS = 10_000

/** A stranger behind a socket: whether it was connected to, and how many bytes it heard. */
interface Stranger {
  readonly path: string
  readonly heard: { connections: number; bytes: number }
}

/** Mode 0600 and a folder of mode 0700, as the real one has it. */
async function listenAsStranger(t: ExecutionContext, path: string): Promise<Stranger> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const heard = { connections: 0, bytes: 0 }
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    heard.connections += 1
    sockets.push(socket)
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      heard.bytes += bytes.length
    })
  })
  await listening(server, path)
  chmodSync(path, 0o600)
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { path, heard }
}

async function listening(server: Server, path: string): Promise<void> {
  server.listen(path)
  await once(server, 'listening')
}

/** A daemon that knows one call, List. */
async function listenAsDaemon(t: ExecutionContext, path: string): Promise<UnixServer> {
  const handlers = {
    List: (_: unknown, answer: (error: null, response: object) => void) => {
      answer(null, { volumes: [] })
    },
  }
  const server = await UnixServer.listen({
    path,
    services: [{ definition: loadMount().MountService.service, handlers }],
    maxMessageBytes: MAX_MOUNT_MESSAGE_BYTES,
    maxConnections: 16,
    ownsFolder: true,
    admits: () => true,
    clock: systemClock,
  })
  t.teardown(() => server.close(0))
  return server
}

interface Caller {
  readonly client: MountClient
  /** What was said for the log. */
  readonly refused: string[]
}

function callerOf(t: ExecutionContext, path: string, ownerUid?: number): Caller {
  const refused: string[] = []
  const vetted = vettedCredentials(path, {
    ownerUid,
    onRefused: (error) => {
      refused.push(`${error.reason}: ${error.message}`)
    },
  })
  const client = createMountClient(path, vetted)
  t.teardown(() => {
    client.close()
  })
  return { client, refused }
}

async function isRefused(t: ExecutionContext, { client }: Caller): Promise<void> {
  const error = await t.throwsAsync(client.list(TIMEOUT_MS), { instanceOf: LatchkeyError })
  t.is(error.reason, 'DaemonUnavailable')
}

async function untilAnswered({ client }: Caller): Promise<void> {
  const ask = (): Promise<boolean> =>
    client.list(TIMEOUT_MS).then(
      () => true,
      () => false,
    )
  await until(ask, { what: 'an answer', everyMs: 20 })
}

test('the owner of folder and socket is spoken to, whether named or not', async (t) => {
  const path = `${tempDir(t)}/own/mount.sock`
  await listenAsDaemon(t, path)
  for (const uid of [undefined, OWN_UID]) {
    const caller = callerOf(t, path, uid)
    t.deepEqual(await caller.client.list(TIMEOUT_MS), { volumes: [] })
    t.deepEqual(caller.refused, [])
  }
})

test('a link at the path is not followed, wherever it leads', async (t) => {
  const folder = tempDir(t)
  const stranger = await listenAsStranger(t, `${folder}/else/x.sock`)
  mkdirSync(`${folder}/own`, { mode: 0o700 })
  symlinkSync(stranger.path, `${folder}/own/mount.sock`)
  const caller = callerOf(t, `${folder}/own/mount.sock`)
  await isRefused(t, caller)
  await isRefused(t, caller)
  t.deepEqual(caller.refused, [
    `AccessDenied: ${folder}/own/mount.sock is a link, or no socket: nothing was said to it`,
  ])
  t.deepEqual(stranger.heard, { connections: 0, bytes: 0 })
})

test('a link in the place of the folder is not followed', async (t) => {
  const folder = tempDir(t)
  const stranger = await listenAsStranger(t, `${folder}/else/mount.sock`)
  symlinkSync(dirname(stranger.path), `${folder}/own`)
  const caller = callerOf(t, `${folder}/own/mount.sock`)
  await isRefused(t, caller)
  t.regex(caller.refused.join('\n'), /\/own is a link, or no folder/)
  t.deepEqual(stranger.heard, { connections: 0, bytes: 0 })
})

test('what is no socket is not connected to', async (t) => {
  const folder = tempDir(t)
  writeFileSync(`${folder}/mount.sock`, '', { mode: 0o600 })
  const caller = callerOf(t, `${folder}/mount.sock`)
  await isRefused(t, caller)
  t.regex(caller.refused.join('\n'), /is a link, or no socket/)
})

for (const [what, loosen] of [
  ['a folder', (path: string) => dirname(path)],
  ['a socket', (path: string) => path],
] as const) {
  test(`${what} that is open to other users is refused`, async (t) => {
    const stranger = await listenAsStranger(t, `${tempDir(t)}/own/mount.sock`)
    chmodSync(loosen(stranger.path), 0o711)
    const caller = callerOf(t, stranger.path)
    await isRefused(t, caller)
    t.regex(caller.refused.join('\n'), /is open to other users \(mode 0711\)/)
    t.deepEqual(stranger.heard, { connections: 0, bytes: 0 })
  })
}

test('nothing at the path is a daemon that is away, and nothing to warn of', async (t) => {
  const caller = callerOf(t, `${tempDir(t)}/own/mount.sock`)
  await isRefused(t, caller)
  t.deepEqual(caller.refused, [])
})

test('a socket that is swapped for a link is noticed, and the right one is taken up again', async (t) => {
  const folder = tempDir(t)
  const path = `${folder}/own/mount.sock`
  const stranger = await listenAsStranger(t, `${folder}/else/x.sock`)
  const first = await listenAsDaemon(t, path)
  const caller = callerOf(t, path)
  await untilAnswered(caller)

  renameSync(path, `${folder}/own/aside`)
  symlinkSync(stranger.path, path)
  await first.close(0)
  await isRefused(t, caller)
  t.regex(caller.refused.join('\n'), /mount\.sock is a link, or no socket/)

  unlinkSync(path)
  await listenAsDaemon(t, path)
  await untilAnswered(caller)
  t.is(caller.refused.length, 1)
  t.deepEqual(stranger.heard, { connections: 0, bytes: 0 })
})

test('a socket that is swapped between the look and the connection hears nothing', async (t) => {
  const folder = tempDir(t)
  const path = `${folder}/own/mount.sock`
  await listenAsDaemon(t, path)
  const refused: string[] = []
  const onRefused = ({ message }: LatchkeyError): void => {
    refused.push(message)
  }
  const target = { scheme: 'unix', path }
  const connector = vettedCredentials(path, { onRefused })._createSecureConnector(target, {})
  await connector.waitForReady()
  renameSync(path, `${folder}/own/aside`)
  const stranger = await listenAsStranger(t, path)
  const socket = connect(path)
  t.teardown(() => socket.destroy())
  await once(socket, 'connect')
  const error = await t.throwsAsync(connector.connect(socket), { instanceOf: LatchkeyError })
  t.is(error.reason, 'AccessDenied')
  t.regex(refused.join('\n'), /is another socket than a moment before/)
  t.is(stranger.heard.bytes, 0)
})

/** Needs to become somebody else. */
function rootTest(title: string, implementation: (t: ExecutionContext) => Promise<void>): void {
  if (OWN_UID === 0) test(title, implementation)
  else test.skip(`${title} (needs root)`, implementation)
}

rootTest('a socket or a folder of somebody else is not connected to', async (t) => {
  const folder = tempDir(t)
  const stranger = await listenAsStranger(t, `${folder}/own/mount.sock`)
  chownSync(stranger.path, OTHER_UID, OTHER_UID)
  const caller = callerOf(t, stranger.path)
  await isRefused(t, caller)
  const [refused = ''] = caller.refused
  t.regex(refused, /mount\.sock is of uid 65534, and not of 0: nothing was said to it$/)
  t.deepEqual(stranger.heard, { connections: 0, bytes: 0 })
  chownSync(dirname(stranger.path), OTHER_UID, OTHER_UID)
  t.throws(() => findSocket(stranger.path, OWN_UID), { message: /own is of uid 65534, and not/ })
  // As the host side sees a daemon that has a uid of its own.
  t.is(findSocket(stranger.path, OTHER_UID).uid, OTHER_UID)
  t.is(findSocket(stranger.path).uid, OTHER_UID)
})

rootTest('a server of another uid behind a socket of the right one hears nothing', async (t) => {
  const folder = tempDir(t)
  const path = `${folder}/own/mount.sock`
  chmodSync(folder, 0o711)
  const bytes: Buffer[] = []
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => bytes.push(chunk))
  })
  t.teardown(() => server.close())
  mkdirSync(dirname(path), { mode: 0o700 })
  chownSync(dirname(path), OTHER_UID, OTHER_UID)
  // listen(2) happens within this call, and the kernel notes who made it.
  process.seteuid?.(OTHER_UID)
  server.listen(path)
  process.seteuid?.(0)
  await once(server, 'listening')
  chownSync(dirname(path), 0, 0)
  chownSync(path, 0, 0)
  chmodSync(path, 0o600)
  const caller = callerOf(t, path, 0)
  await isRefused(t, caller)
  t.regex(caller.refused.join('\n'), /is served by uid 65534, and not by 0/)
  t.is(Buffer.concat(bytes).length, 0)
})

import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { status, type ServerDuplexStream } from '@grpc/grpc-js'
import type { ExecutionContext } from 'ava'
import { systemClock } from '../../src/core/clock.ts'
import { contentsDigest } from '../../src/core/contents-digest.ts'
import { LatchkeyError } from '../../src/core/errors.ts'
import { SecretBytes } from '../../src/core/secret-bytes.ts'
import type { VolumeRequest } from '../../src/core/types.ts'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import { Volumes } from '../../src/host/volumes.ts'
import { createHostMetrics } from '../../src/observability/host-metrics.ts'
import { createLogger } from '../../src/observability/log.ts'
import type { DaemonMessage } from '../../src/wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import type { ShimMessage__Output } from '../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import { MessageStream } from '../../src/wire/message-stream.ts'
import { createMountClient } from '../../src/wire/mount-client.ts'
import { loadMount } from '../../src/wire/protos.ts'
import { UnixServer } from '../../src/wire/unix-server.ts'
import { mountTest } from '../support/mount-namespace.ts'
import { mountsBelow, tmpfsWorld } from '../support/tmpfs-world.ts'
import { until } from '../support/until.ts'
import { POD_UID, volumeRequest } from '../support/volume-requests.ts'

/*
 * A daemon in the hands of somebody else, behind the real socket and before a host side that writes real tmpfs:
 * whatever it sends up a stream, nothing is written but in that stream's own volume.
 */
const MAX_VOLUME_BYTES = 64 * 1024
const MIB = 1024 * 1024

interface HostileFile {
  readonly path: string
  readonly data?: Buffer
  readonly mode?: number
  readonly ownerUid?: number
}

type Stream = MessageStream<ShimMessage__Output, DaemonMessage>

interface Call {
  readonly stream: Stream
  readonly volumeId: string
  readonly heard: ShimMessage__Output[]
}

/** Sends what `answers` has for a volume as soon as the host opens it, and notes what it hears. */
async function listenAsHostile(t: ExecutionContext, path: string) {
  const calls: Call[] = []
  const answers = new Map<string, readonly DaemonMessage[]>()
  const Mount = (raw: ServerDuplexStream<ShimMessage__Output, DaemonMessage>): void => {
    const stream = new MessageStream(raw)
    void (async () => {
      let call: Call | undefined
      for await (const message of stream.receive()) {
        const volumeId = message.open?.volumeId ?? message.resume?.volumeId
        if (volumeId !== undefined) {
          call = { stream, volumeId, heard: [] }
          calls.push(call)
          for (const answer of answers.get(volumeId) ?? []) await stream.send(answer)
        }
        call?.heard.push(message)
      }
    })().catch(() => undefined)
  }
  const server = await UnixServer.listen({
    path,
    services: [{ definition: loadMount().MountService.service, handlers: { Mount } }],
    maxMessageBytes: 64 * MIB,
    maxConnections: 16,
    ownsFolder: true,
    admits: () => true,
    clock: systemClock,
  })
  t.teardown(() => server.close(0))
  return { calls, answers }
}

async function startWorld(t: ExecutionContext) {
  const { kubeletRoot, store } = tmpfsWorld(t, MAX_VOLUME_BYTES)
  const path = `${kubeletRoot}/own/mount.sock`
  const daemon = await listenAsHostile(t, path)
  const client = createMountClient(path)
  const lines: string[] = []
  const volumes = new Volumes({
    store,
    link: client,
    clock: systemClock,
    log: createLogger({ level: 'debug', side: 'host', write: (line) => lines.push(line) }),
    metrics: createHostMetrics({ version: 'test' }),
    maxPublishes: 512,
    maxVolumeBytes: MAX_VOLUME_BYTES,
    lingerMs: 0,
    maxFileBytes: 2 ** 30,
  })
  t.teardown(() => {
    volumes.stop()
    client.close()
  })
  // Where an attacker would like to write: beside, above and below the volumes.
  writeFileSync(`${kubeletRoot}/precious`, 'untouched')
  return { kubeletRoot, volumes, daemon, signal: new AbortController().signal }
}

type World = Awaited<ReturnType<typeof startWorld>>

function requestFor({ kubeletRoot }: World, name: string): VolumeRequest {
  const parent = `${kubeletRoot}/pods/${POD_UID}/volumes/kubernetes.io~csi/${name}`
  mkdirSync(parent, { recursive: true, mode: 0o750 })
  const volumeId = volumeIdOf(POD_UID, name)
  return volumeRequest({ volumeId, targetPath: `${parent}/mount` })
}

/** Files in a message whose digest is right, so that it is not that which is refused. */
function contents(files: readonly HostileFile[], generation = 1): DaemonMessage {
  const list = files.map(({ path, data = Buffer.from('evil'), mode = 0o644, ownerUid = 0 }) => ({
    path,
    data,
    mode,
    ownerUid,
  }))
  const digest = contentsDigest(
    list.map((file) => ({ ...file, data: SecretBytes.copyOf(file.data) })),
  )
  return { contents: { generation, files: list, digest } }
}

const GOOD = contents([{ path: 'password', data: Buffer.from('one') }])

function needing(names: string[]): DaemonMessage {
  return { resumed: { needed: { names } } }
}

async function publishGood(on: World, name: string): Promise<VolumeRequest> {
  const request = requestFor(on, name)
  on.daemon.answers.set(request.volumeId, [GOOD])
  await on.volumes.publish(request, on.signal)
  return request
}

function callOf({ daemon }: World, { volumeId }: VolumeRequest): Call {
  const found = daemon.calls.findLast((call) => call.volumeId === volumeId)
  if (found === undefined) throw new Error('never opened')
  return found
}

/** All that lies below a folder outside of mounted volumes: names, types, modes, owners and bytes. */
function outsideOfVolumes(folder: string): readonly string[] {
  const mounts = new Set(mountsBelow(folder).map(({ mountPoint }) => mountPoint))
  const look = (path: string): readonly string[] => {
    const { mode, uid, gid, size } = lstatSync(path)
    const type = mode & 0o170000
    const line = `${path} ${mode.toString(8)} ${uid}:${gid}`
    if (type === 0o040000) {
      if (mounts.has(path)) return [`${path} mounted`]
      return [line, ...readdirSync(path).flatMap((name) => look(join(path, name)))]
    }
    if (type === 0o120000) return [`${line} -> ${readlinkSync(path)}`]
    return [type === 0o100000 ? `${line} ${size} ${readFileSync(path, 'utf8')}` : line]
  }
  return look(folder)
}

function passwordOf({ targetPath }: VolumeRequest): string {
  return readFileSync(`${targetPath}/password`, 'utf8')
}

const many = (count: number): readonly HostileFile[] =>
  Array.from({ length: count }, (_, index) => ({ path: `f${index}`, data: Buffer.alloc(0) }))

const one = (path: string): readonly HostileFile[] => [{ path }]

const ATTACKS: readonly (readonly [what: string, files: readonly HostileFile[]])[] = [
  ['a path one up', one('../evil')],
  ['a path up to precious', one('../../../../../../precious')],
  ['a path up from below', one('a/../../evil')],
  ['an absolute path', one('/etc/latchkey-evil')],
  ['a path with a NUL', one('evil\0.txt')],
  ['a path with a newline', one('evil\n{"level":"error"}')],
  ['an empty path', one('')],
  ['a dot', one('.')],
  ['two dots', one('..')],
  ['an empty segment', one('a//b')],
  ['a path that ends in a slash', one('a/')],
  ['the layout’s own link', one('..data')],
  ['a path through the layout’s own link', one('..data/password')],
  ['the layout’s own link half made', one('..data_tmp')],
  ['a generation’s own name', one('..2026_11_21_07_00_00.1234567890/password')],
  ['a segment of 256 bytes', one('x'.repeat(256))],
  ['a path of more than 4,096 bytes', one('a/'.repeat(2_500) + 'b')],
  ['a path that is both a file and a folder', [...one('a'), ...one('a/b')]],
  ['a path twice', [...one('a'), ...one('a')]],
  ['a set-user-id bit', [{ path: 'sh', mode: 0o4755 }]],
  ['a set-group-id bit', [{ path: 'sh', mode: 0o2755 }]],
  ['a sticky bit', [{ path: 'sh', mode: 0o1755 }]],
  ['a device’s type in the mode', [{ path: 'sda', mode: 0o60660 }]],
  ['a mode of all bits', [{ path: 'sh', mode: 0xffff_ffff }]],
  ['an owner that chown takes for none', [{ path: 'a', ownerUid: 0xffff_ffff }]],
  ['one file too many', many(1025)],
  ['one byte too many', [{ path: 'big', data: Buffer.alloc(MAX_VOLUME_BYTES + 1) }]],
  [
    'one byte too many in pieces',
    [
      { path: 'a', data: Buffer.alloc(MAX_VOLUME_BYTES) },
      { path: 'b', data: Buffer.alloc(1) },
    ],
  ],
]

const REFUSED = new Set(['InvalidRequest', 'PayloadTooLarge'])

mountTest(
  'no contents of a hostile daemon leave their volume: the publish is refused',
  async (t) => {
    t.timeout(120_000)
    const on = await startWorld(t)
    const request = requestFor(on, 'attacked')
    const before = outsideOfVolumes(on.kubeletRoot)
    for (const [what, files] of ATTACKS) {
      on.daemon.answers.set(request.volumeId, [contents(files)])
      const error = await t.throwsAsync(on.volumes.publish(request, on.signal), {
        instanceOf: LatchkeyError,
      })
      t.true(REFUSED.has(error.reason), `${what}: ${error.reason}`)
      t.false(error.message.includes('evil'), `${what}: ${error.message}`)
      t.deepEqual(outsideOfVolumes(on.kubeletRoot), before, what)
    }
    t.is((await publishGood(on, 'attacked')).volumeId, request.volumeId)
  },
)

mountTest(
  'no contents of a hostile daemon touch a volume that is mounted, or another one',
  async (t) => {
    t.timeout(120_000)
    const on = await startWorld(t)
    const attacked = await publishGood(on, 'attacked')
    const other = await publishGood(on, 'other')
    const before = outsideOfVolumes(on.kubeletRoot)
    const { stream, heard } = callOf(on, attacked)
    const answers = (): readonly ShimMessage__Output[] =>
      heard.filter(({ failed }) => failed != null)
    for (const [index, [what, files]] of ATTACKS.entries()) {
      await stream.send(contents(files, index + 2))
      await until(() => answers().length > index, { what: `the answer to ${what}` })
      t.true(REFUSED.has(answers()[index]?.failed?.reason ?? ''), what)
      t.is(passwordOf(attacked), 'one', what)
    }
    t.deepEqual(outsideOfVolumes(on.kubeletRoot), before)
    t.is(passwordOf(other), 'one')
  },
)

mountTest('a digest that is not that of the files is refused', async (t) => {
  const on = await startWorld(t)
  const request = requestFor(on, 'attacked')
  const wrong = { contents: { ...GOOD.contents, digest: Buffer.alloc(32) } }
  on.daemon.answers.set(request.volumeId, [wrong])
  const error = await t.throwsAsync(on.volumes.publish(request, on.signal))
  t.is(LatchkeyError.from(error).reason, 'InvalidRequest')
  t.deepEqual(mountsBelow(on.kubeletRoot), [])
})

mountTest(
  'generations backwards, and another volume’s contents, change their own stream’s volume only',
  async (t) => {
    t.timeout(60_000)
    const on = await startWorld(t)
    const attacked = await publishGood(on, 'attacked')
    const other = await publishGood(on, 'other')
    const { stream, heard } = callOf(on, attacked)
    for (const generation of [7, 3, 0, 3]) {
      const data = Buffer.from(`for another volume ${generation} ${heard.length}`)
      await stream.send(contents([{ path: 'password', data }], generation))
      await until(() => passwordOf(attacked) === data.toString(), { what: 'the swap' })
    }
    t.is(passwordOf(other), 'one')
    // A stream that is ended with a refusal changes nothing either, and neither does a message of nothing.
    await stream.send({})
    await stream.send({ resumed: {} })
    stream.fail({ code: status.UNAUTHENTICATED, details: 'TokenRejected: gone' })
    await until(() => on.volumes.count().connected === 1, { what: 'the stream to end' })
    t.is(passwordOf(other), 'one')
    t.true(on.volumes.count().mounted === 2)
  },
)

/** Each of these ends the stream that it comes on; its volume and all others go on. */
async function endure(t: ExecutionContext, attacks: readonly DaemonMessage[]): Promise<void> {
  t.timeout(60_000)
  const on = await startWorld(t)
  const attacked = await publishGood(on, 'attacked')
  const other = await publishGood(on, 'other')
  const opened = (): number =>
    on.daemon.calls.filter(({ volumeId }) => volumeId === attacked.volumeId).length
  on.daemon.answers.set(attacked.volumeId, [])
  for (const attack of attacks) {
    const before = opened()
    // The host hangs up, maybe before all of it has left.
    await callOf(on, attacked)
      .stream.send(attack)
      .catch(() => undefined)
    await until(() => opened() > before, {
      what: 'the volume to be opened again',
      timeoutMs: 30_000,
    })
    t.is(passwordOf(attacked), 'one')
  }
  t.is(callOf(on, other).stream.closed.aborted, false)
  await publishGood(on, 'third')
}

mountTest(
  'a message beyond the cap, or a bookmark beyond its own, costs its own stream only',
  (t) =>
    endure(t, [
      contents([{ path: 'huge', data: Buffer.alloc(8 * MIB) }], 2),
      { bookmark: { data: Buffer.alloc(64 * 1024 + 1) } },
    ]),
)

mountTest('needs without end cost their own stream only, and are not kept', (t) =>
  endure(t, [
    needing(Array.from({ length: 20_000 }, (_, index) => `audience-${index}`)),
    needing(['x'.repeat(64 * 1024)]),
  ]),
)

mountTest(
  'endless messages on one stream: other volumes are published, and its own stays in its cap',
  async (t) => {
    t.timeout(120_000)
    const on = await startWorld(t)
    const attacked = await publishGood(on, 'attacked')
    const { stream } = callOf(on, attacked)
    const flood = new AbortController()
    const flooding = (async () => {
      for (let round = 2; !flood.signal.aborted; round += 1) {
        const data = Buffer.alloc(MAX_VOLUME_BYTES, round % 256)
        await stream.send(contents([{ path: `f${round % 7}`, data }], round))
        await stream.send({ bookmark: { data: Buffer.alloc(1024, round % 256) } })
        await stream.send({ verdict: { pod: 'POD_ALIVE' } } as unknown as DaemonMessage)
      }
    })().catch(() => undefined)
    for (let index = 0; index < 10; index += 1) {
      const other = await publishGood(on, `other-${index}`)
      t.is(passwordOf(other), 'one')
    }
    flood.abort()
    await flooding
    const { blocks, bfree, bsize, files } = statfsSync(attacked.targetPath)
    t.true((blocks - bfree) * bsize <= 4 * MAX_VOLUME_BYTES, 'three generations at most')
    t.true(files <= 16_384)
    t.is(mountsBelow(on.kubeletRoot).length, 11)
    await on.volumes.unpublish(attacked)
    t.deepEqual(readdirSync(dirname(attacked.targetPath)), [])
  },
)

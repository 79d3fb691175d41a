import type { ServerDuplexStream } from '@grpc/grpc-js'
import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../src/core/clock.ts'
import { contentsDigest } from '../../src/core/contents-digest.ts'
import { Volumes } from '../../src/host/volumes.ts'
import { createHostMetrics } from '../../src/observability/host-metrics.ts'
import { createLogger } from '../../src/observability/log.ts'
import type { DaemonMessage } from '../../src/wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import type { ShimMessage__Output } from '../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import { MAX_MOUNT_MESSAGE_BYTES } from '../../src/wire/limits.ts'
import { MessageStream } from '../../src/wire/message-stream.ts'
import { createMountClient } from '../../src/wire/mount-client.ts'
import { loadMount } from '../../src/wire/protos.ts'
import { UnixServer } from '../../src/wire/unix-server.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { tempDir } from '../support/temp-dir.ts'
import { until } from '../support/until.ts'
import { volumeRequest } from '../support/volume-requests.ts'
import { figuresOf } from './bookmark-world.ts'

interface Call {
  readonly stream: MessageStream<ShimMessage__Output, DaemonMessage>
  readonly heard: ShimMessage__Output[]
}

/** A daemon behind a real socket that says only what a test has it say. */
async function listen(t: ExecutionContext, path: string) {
  const calls: Call[] = []
  const Mount = (call: ServerDuplexStream<ShimMessage__Output, DaemonMessage>): void => {
    const stream = new MessageStream(call)
    const heard: ShimMessage__Output[] = []
    calls.push({ stream, heard })
    void (async () => {
      for await (const message of stream.receive()) heard.push(message)
    })().catch(() => undefined)
  }
  const server = await UnixServer.listen({
    path,
    services: [{ definition: loadMount().MountService.service, handlers: { Mount } }],
    maxMessageBytes: MAX_MOUNT_MESSAGE_BYTES,
    maxConnections: 16,
    ownsFolder: true,
    admits: () => true,
    clock: systemClock,
  })
  t.teardown(() => server.close(0))
  return { server, calls }
}

/** A mounted volume whose bookmark is noted, on the real wire; only time is turned by hand. */
async function published(t: ExecutionContext) {
  const path = `${tempDir(t)}/own/mount.sock`
  const daemon = await listen(t, path)
  const client = createMountClient(path)
  const clock = new FakeClock()
  const metrics = createHostMetrics({ version: 'test' })
  const log = createLogger({ level: 'silent', side: 'host' })
  const parts = { store: new MemoryStore(), link: client, clock, log, metrics }
  const volumes = new Volumes({
    ...parts,
    maxPublishes: 512,
    maxVolumeBytes: 1024,
    lingerMs: 2_000,
    maxFileBytes: 2 ** 30,
  })
  t.teardown(() => {
    volumes.stop()
    client.close()
  })
  const request = volumeRequest()
  const publishing = volumes.publish(request, new AbortController().signal)
  const call = await heardOn(daemon.calls, 'open')
  await call.stream.send({ bookmark: { data: Buffer.from('lease-1') } })
  await call.stream.send({ contents: { generation: 1, files: [], digest: contentsDigest([]) } })
  await publishing
  return { path, daemon, call, request, volumes, clock, metrics }
}

/** The first call on which this word has arrived. */
async function heardOn(calls: readonly Call[], word: keyof ShimMessage__Output): Promise<Call> {
  const find = (): Call | undefined =>
    calls.find(({ heard }) => heard.some((message) => message[word] != null))
  await until(() => find() !== undefined, { what: `${word} on the wire` })
  const found = find()
  if (found === undefined) throw new Error('gone again')
  return found
}

test('on the wire, a call that ends well after Unmounted is the end of the matter', async (t) => {
  const on = await published(t)
  await heardOn(on.daemon.calls, 'committed')
  t.deepEqual(
    on.call.heard.map(({ message }) => message),
    ['open', 'noted', 'committed'],
  )
  await on.volumes.unpublish(on.request)
  await heardOn(on.daemon.calls, 'unmounted')
  on.call.stream.end()
  await until(() => on.clock.pending === 0, { what: 'the host to be done with it' })
  await on.clock.advance(60_000)
  t.is(on.daemon.calls.length, 1)
  t.deepEqual(await figuresOf(on.metrics), { waiting: 0, done: 0, givenUp: 0 })
})

test('on the wire, a daemon that goes away instead is followed by a farewell', async (t) => {
  const on = await published(t)
  await on.volumes.unpublish(on.request)
  await heardOn(on.daemon.calls, 'unmounted')
  await on.daemon.server.close(0)
  await until(async () => (await figuresOf(on.metrics)).waiting === 1, { what: 'a farewell' })
  const { calls } = await listen(t, on.path)
  // The channel dials again by its own backoff, and until then each try fails at once.
  await until(
    async () => {
      await on.clock.advance(1_000)
      return calls.some(({ heard }) => heard.length > 0)
    },
    { what: 'the farewell to arrive', everyMs: 20 },
  )
  const { heard, stream } = await heardOn(calls, 'farewell')
  t.like(heard[0]?.farewell, { volumeId: on.request.volumeId, bookmark: Buffer.from('lease-1') })
  stream.end()
  await until(async () => (await figuresOf(on.metrics)).done === 1, { what: 'its end' })
  t.is((await figuresOf(on.metrics)).waiting, 0)
})

test('on the wire, a daemon that dies while the pod lives is opened with the bookmark', async (t) => {
  const on = await published(t)
  await on.daemon.server.close(0)
  const { calls } = await listen(t, on.path)
  await until(
    async () => {
      await on.clock.advance(1_000)
      return calls.some(({ heard }) => heard.length > 0)
    },
    { what: 'the volume to be opened again', everyMs: 20 },
  )
  const { heard } = await heardOn(calls, 'open')
  t.is(heard[0]?.open?.bookmark.toString(), 'lease-1')
})

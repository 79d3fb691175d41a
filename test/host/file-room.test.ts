import test, { type ExecutionContext } from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import type { VolumeRequest } from '../../src/core/types.ts'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import { fileBytesWithin } from '../../src/host/file-room.ts'
import { Volumes } from '../../src/host/volumes.ts'
import { createHostMetrics } from '../../src/observability/host-metrics.ts'
import { createLogger } from '../../src/observability/log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { ScriptedDaemon } from '../support/scripted-daemon.ts'
import { POD_UID, tokenOf, volumeRequest } from '../support/volume-requests.ts'

const MIB = 1024 ** 2
const PAGE_BYTES = 4096
const LINGER_MS = 2_000

function world(t: ExecutionContext, pages: number, store = new MemoryStore()) {
  const daemon = new ScriptedDaemon()
  const clock = new FakeClock()
  const volumes = new Volumes({
    store,
    link: daemon,
    clock,
    log: createLogger({ level: 'silent', side: 'host' }),
    metrics: createHostMetrics({ version: 'test' }),
    maxPublishes: 512,
    maxVolumeBytes: MIB,
    lingerMs: LINGER_MS,
    maxFileBytes: pages * PAGE_BYTES,
  })
  t.teardown(() => {
    volumes.stop()
  })
  const publish = async (request: VolumeRequest, text = 'x') => {
    const index = daemon.streams.length
    const publishing = volumes.publish(request, new AbortController().signal)
    const stream = await daemon.stream(index)
    stream.contents(1, { password: text })
    await publishing
    return stream
  }
  return { store, daemon, clock, volumes, publish }
}

type World = ReturnType<typeof world>

function volumeOf(namespace: string, name: string): VolumeRequest {
  return volumeRequest({
    volumeId: volumeIdOf(POD_UID, name),
    targetPath: volumeRequest().targetPath.replace('/db/', `/${name}/`),
    pod: { ...volumeRequest().pod, namespace },
  })
}

/** As many volumes of a page as a namespace gets, and why the next is refused. */
async function fill(on: World, namespace: string) {
  for (let count = 0; ; count += 1) {
    try {
      await on.publish(volumeOf(namespace, `${namespace}-${count}`))
    } catch (thrown) {
      return { count, error: LatchkeyError.from(thrown) }
    }
  }
}

test('one namespace gets four of five of the memory for files, and others find room beside it', async (t) => {
  const on = world(t, 100)
  const loud = await fill(on, 'loud')
  // What is about to be written is reckoned with its inodes, half a page more than it takes here.
  t.is(loud.count, 79)
  t.is(loud.error.reason, 'Overloaded')
  t.is(
    loud.error.message,
    'files of this node would take more memory than they may: 409600 bytes for all (limits.tmpfsBytes), of which one namespace gets four of five that others leave, and "loud" has 323584',
  )
  t.true((await fill(on, 'calm')).count >= 15)
  t.true((await fill(on, 'late')).count >= 2)
  t.true(on.volumes.fileMemory.bytes <= 100 * PAGE_BYTES)
})

test('a volume that goes makes room, and so does a publish that fails', async (t) => {
  const on = world(t, 100)
  await fill(on, 'loud')
  await on.volumes.unpublish(volumeOf('loud', 'loud-0'))
  t.is(on.volumes.fileMemory.bytes, 78 * PAGE_BYTES)
  on.store.failNext = 'create'
  await t.throwsAsync(on.publish(volumeOf('loud', 'again')))
  t.is(on.volumes.fileMemory.bytes, 78 * PAGE_BYTES)
  await t.notThrowsAsync(on.publish(volumeOf('loud', 'again')))
})

test('a change for which there is no room is told to the daemon, and the pod keeps what it has', async (t) => {
  const on = world(t, 10)
  const request = volumeOf('shop', 'db')
  const stream = await on.publish(request, 'one')
  stream.contents(2, { password: 'x'.repeat(10 * PAGE_BYTES) })
  const { failed } = await stream.hears('failed')
  t.is(failed?.reason, 'Overloaded')
  t.regex(failed?.message ?? '', /limits\.tmpfsBytes/)
  t.is(on.store.read(request.volumeId, 'password'), 'one')
  stream.contents(3, { password: 'two' })
  await stream.hears('committed', 2)
  t.is(on.store.read(request.volumeId, 'password'), 'two')
})

test('what lies there when a process starts counts, for its namespace once kubelet has named it', async (t) => {
  const store = new MemoryStore()
  const before = world(t, 1_000, store)
  for (let index = 0; index < 60; index += 1) {
    await before.publish(volumeOf('loud', `old-${index}`))
  }
  before.volumes.stop()

  const on = world(t, 100, store)
  on.volumes.adopt()
  t.is(on.volumes.fileMemory.bytes, 60 * PAGE_BYTES)
  const early = await fill(on, 'early')
  t.is(early.count, 31)
  for (let index = 0; index < early.count; index += 1) {
    await on.volumes.unpublish(volumeOf('early', `early-${index}`))
  }
  for (let index = 0; index < 60; index += 1) {
    const request = volumeOf('loud', `old-${index}`)
    const signal = new AbortController().signal
    await on.volumes.publish({ ...request, tokens: [tokenOf('token-2')] }, signal)
  }
  t.is(on.volumes.fileMemory.bytes, 60 * PAGE_BYTES)
  t.is((await fill(on, 'loud')).count, 19)
})

test('what is about to be written is reckoned before a page of it is', async (t) => {
  const on = world(t, 3)
  const big = on.publish(volumeOf('shop', 'big'), 'x'.repeat(3 * PAGE_BYTES))
  t.is(LatchkeyError.from(await t.throwsAsync(big)).reason, 'Overloaded')
  t.deepEqual(on.store.calls, ['remove'])
  await t.notThrowsAsync(on.publish(volumeOf('shop', 'small')))
})

test('memory for files is what the container’s limit leaves beside the process', (t) => {
  const within = (limitMib: number | undefined): number => {
    const limitBytes = limitMib === undefined ? undefined : limitMib * MIB
    return fileBytesWithin({ limitBytes, usedBytes: 0 }, 64 * MIB) / MIB
  }
  t.is(within(320), 128)
  t.is(within(1024), 832)
  t.is(within(200), 50, 'too small a container still holds a quarter of it')
  t.is(within(undefined), 128)
  t.is(fileBytesWithin(undefined, 64 * MIB), 128 * MIB)
})

import test, { type ExecutionContext } from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { Volumes } from '../../src/host/volumes.ts'
import { createHostMetrics } from '../../src/observability/host-metrics.ts'
import { createLogger } from '../../src/observability/log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { ScriptedDaemon } from '../support/scripted-daemon.ts'
import { until } from '../support/until.ts'
import { tokenOf, volumeRequest } from '../support/volume-requests.ts'

const LINGER_MS = 2_000

interface World {
  readonly store: MemoryStore
  readonly daemon: ScriptedDaemon
  readonly clock: FakeClock
  readonly volumes: Volumes
  readonly signal: AbortSignal
}

function world(t: ExecutionContext, store = new MemoryStore()): World {
  const daemon = new ScriptedDaemon()
  const clock = new FakeClock()
  const volumes = new Volumes({
    store,
    link: daemon,
    clock,
    log: createLogger({ level: 'silent', side: 'host' }),
    metrics: createHostMetrics({ version: 'test' }),
    maxPublishes: 512,
    maxVolumeBytes: 1024,
    lingerMs: LINGER_MS,
    maxFileBytes: 2 ** 30,
  })
  t.teardown(() => {
    volumes.stop()
  })
  return { store, daemon, clock, volumes, signal: new AbortController().signal }
}

/** Publishes the volume and plays the daemon up to the first commit. */
async function published(on: World, files: Record<string, string> = { password: 'one' }) {
  const request = volumeRequest()
  const index = on.daemon.streams.length
  const publishing = on.volumes.publish(request, on.signal)
  const stream = await on.daemon.stream(index)
  stream.contents(1, files)
  await publishing
  return { request, stream }
}

test('a publish answers only when the contents are in place, and tells the daemon so', async (t) => {
  const on = world(t)
  const publishing = on.volumes.publish(volumeRequest(), on.signal)
  const stream = await on.daemon.stream(0)
  t.is(on.store.list().length, 0)
  t.like(stream.heard[0], { open: { pod: { name: 'api-0' }, attributes: { secret: 'db' } } })
  stream.contents(1, { password: 'one' })
  await publishing
  t.is(on.store.read(volumeRequest().volumeId, 'password'), 'one')
  t.deepEqual(await stream.hears('committed'), { committed: { generation: 1 } })
})

test('a republish brings the tokens, touches nothing and opens no second stream', async (t) => {
  const on = world(t)
  const { stream } = await published(on)
  await on.volumes.publish(volumeRequest({ tokens: [tokenOf('token-2')] }), on.signal)
  const message = await stream.hears('tokens')
  t.is(message.tokens?.tokens?.[0]?.token?.toString(), 'token-2')
  t.is(on.daemon.streams.length, 1)
  t.deepEqual(on.store.calls, ['create'])
})

test('a republish with the same tokens says nothing to the daemon', async (t) => {
  const on = world(t)
  const { stream } = await published(on)
  await on.volumes.publish(volumeRequest(), on.signal)
  t.is(stream.heard.filter((message) => message.tokens != null).length, 0)
})

test('a republish with other attributes is answered OK and keeps the files', async (t) => {
  const on = world(t)
  await published(on)
  await on.volumes.publish(volumeRequest({ attributes: new Map([['secret', 'x']]) }), on.signal)
  t.is(on.store.read(volumeRequest().volumeId, 'password'), 'one')
})

test('another request for a volume that is still being published is a conflict', async (t) => {
  const on = world(t)
  const publishing = on.volumes.publish(volumeRequest(), on.signal)
  await on.daemon.stream(0)
  const other = volumeRequest({ attributes: new Map([['secret', 'other']]) })
  const error = await t.throwsAsync(on.volumes.publish(other, on.signal), {
    instanceOf: LatchkeyError,
  })
  t.is(error.reason, 'VolumeConflict')
  on.daemon.streams[0]?.contents(1, { password: 'one' })
  await publishing
})

test('the same request a second time while the first still runs is answered with the first', async (t) => {
  const on = world(t)
  const both = [1, 2].map(() => on.volumes.publish(volumeRequest(), on.signal))
  const stream = await on.daemon.stream(0)
  stream.contents(1, { password: 'one' })
  await Promise.all(both)
  t.is(on.daemon.streams.length, 1)
  t.deepEqual(on.store.calls, ['create'])
})

test('a refused first publish says why and leaves nothing behind', async (t) => {
  const on = world(t)
  const publishing = on.volumes.publish(volumeRequest(), on.signal)
  const stream = await on.daemon.stream(0)
  stream.refuse('AccessDenied', 'secrets "db" is forbidden')
  const error = await t.throwsAsync(publishing, { message: 'secrets "db" is forbidden' })
  t.is(LatchkeyError.from(error).reason, 'AccessDenied')
  t.deepEqual(on.store.calls, ['remove'])
  t.deepEqual(on.volumes.count(), { mounted: 0, pending: 0, connected: 0 })
})

test('a first publish whose volume cannot be built fails and cleans up', async (t) => {
  const on = world(t)
  on.store.failNext = 'create'
  const publishing = on.volumes.publish(volumeRequest(), on.signal)
  const stream = await on.daemon.stream(0)
  stream.contents(1, { password: 'one' })
  await t.throwsAsync(publishing, { message: 'create failed as told' })
  t.like(await stream.hears('failed'), { failed: { generation: 1, reason: 'VolumeIo' } })
  t.deepEqual(on.store.calls, ['create', 'remove'])
})

test('only the first try for a missing Secret is answered at once, later ones are held', async (t) => {
  const on = world(t)
  const holds: (number | undefined)[] = []
  for (const index of [0, 1]) {
    const publishing = on.volumes.publish(volumeRequest(), on.signal)
    const stream = await on.daemon.stream(index)
    holds.push(stream.heard[0]?.open?.holdMs)
    stream.refuse('SecretNotFound', 'secret "db" not found')
    await t.throwsAsync(publishing)
  }
  t.deepEqual(holds, [0, 50_000])
})

test('AccessDenied is never held', async (t) => {
  const on = world(t)
  for (const index of [0, 1]) {
    const publishing = on.volumes.publish(volumeRequest(), on.signal)
    const stream = await on.daemon.stream(index)
    t.is(stream.heard[0]?.open?.holdMs, 0)
    stream.refuse('AccessDenied', 'no')
    await t.throwsAsync(publishing)
  }
})

test('a publish waits for a daemon that is away and goes on when it is back', async (t) => {
  const on = world(t)
  on.daemon.isAway = true
  const publishing = on.volumes.publish(volumeRequest(), on.signal)
  await until(() => on.daemon.streams.length > 0, { what: 'a first try' })
  await on.clock.advance(10_000)
  t.true(on.daemon.streams.length > 5, 'it tries again')
  on.daemon.isAway = false
  await on.clock.advance(1_000)
  const stream = await on.daemon.stream(on.daemon.streams.length - 1)
  stream.contents(1, { password: 'one' })
  await publishing
  t.pass()
})

test('a publish whose daemon stays away says DaemonUnavailable within a minute', async (t) => {
  const on = world(t)
  on.daemon.isAway = true
  const publishing = on.volumes.publish(volumeRequest(), on.signal)
  publishing.catch(() => undefined)
  await until(() => on.daemon.streams.length > 0, { what: 'a first try' })
  await on.clock.advance(60_000)
  const error = await t.throwsAsync(publishing)
  t.is(LatchkeyError.from(error).reason, 'DaemonUnavailable')
})

test('kubelet hanging up in the middle of a publish cleans up as any failure does', async (t) => {
  const on = world(t)
  const hangUp = new AbortController()
  const publishing = on.volumes.publish(volumeRequest(), hangUp.signal)
  await on.daemon.stream(0)
  hangUp.abort(new LatchkeyError('Timeout', 'kubelet hung up'))
  await t.throwsAsync(publishing)
  t.deepEqual(on.store.calls, ['remove'])
  t.is(on.volumes.count().pending, 0)
})

test('changed contents are swapped in, the old generation goes after the linger', async (t) => {
  const on = world(t)
  const { stream } = await published(on)
  stream.contents(2, { password: 'two' })
  await stream.hears('committed', 2)
  t.is(on.store.read(volumeRequest().volumeId, 'password'), 'two')
  t.deepEqual(on.store.calls, ['create', 'swap'])
  await on.clock.advance(LINGER_MS)
  t.deepEqual(on.store.calls, ['create', 'swap', 'prune'])
})

test('once it has stopped it prunes nothing: the next process may be writing there', async (t) => {
  const on = world(t)
  const { stream } = await published(on)
  stream.contents(2, { password: 'two' })
  await stream.hears('committed', 2)
  on.volumes.stop()
  await on.clock.advance(2 * LINGER_MS)
  t.deepEqual(on.store.calls, ['create', 'swap'])
})

test('equal contents are answered and left as they lie', async (t) => {
  const on = world(t)
  const { stream } = await published(on)
  stream.contents(2, { password: 'one' })
  await stream.hears('committed', 2)
  t.deepEqual(on.store.calls, ['create'])
})

test('a swap that fails keeps the last good contents and says so to the daemon', async (t) => {
  const on = world(t)
  const { stream } = await published(on)
  on.store.failNext = 'swap'
  stream.contents(2, { password: 'two' })
  t.like(await stream.hears('failed'), { failed: { generation: 2, reason: 'VolumeIo' } })
  t.is(on.store.read(volumeRequest().volumeId, 'password'), 'one')
})

test('after a broken stream the volume is opened again with the tokens in hand', async (t) => {
  const on = world(t)
  const { stream } = await published(on)
  stream.refuse('DaemonUnavailable', 'gone')
  await until(() => on.volumes.count().connected === 0, { what: 'the host to notice' })
  await on.clock.advance(1_000)
  const again = await on.daemon.stream(1)
  t.is(again.heard[0]?.open?.tokens?.[0]?.token?.toString(), 'token-1')
  t.is(on.store.read(volumeRequest().volumeId, 'password'), 'one')
})

test('a volume is fresh within seconds of the daemon’s return, however long it was away', async (t) => {
  const on = world(t)
  const { stream } = await published(on)
  on.daemon.isAway = true
  stream.refuse('DaemonUnavailable', 'gone')
  await until(() => on.volumes.count().connected === 0, { what: 'the host to notice' })
  for (let seconds = 0; seconds < 3600; seconds += 5) await on.clock.advance(5_000)
  const tries = on.daemon.streams.length
  t.true(tries < 1_000, 'it is not asked for all the time')
  on.daemon.isAway = false
  await on.clock.advance(5_000)
  const again = await on.daemon.stream(tries)
  t.truthy(again.heard[0]?.open)
})

test('a daemon that is stopping does not fail a publish that waits for it', async (t) => {
  const on = world(t)
  const publishing = on.volumes.publish(volumeRequest(), on.signal)
  const stream = await on.daemon.stream(0)
  stream.refuse('ShuttingDown', 'the daemon is stopping')
  await until(() => on.volumes.count().connected === 0, { what: 'the host to notice' })
  await on.clock.advance(1_000)
  const again = await on.daemon.stream(1)
  again.contents(1, { password: 'one' })
  await publishing
  t.pass()
})

test('a republish with the same tokens has a refused volume tried once more', async (t) => {
  const on = world(t)
  const { stream } = await published(on)
  stream.refuse('TokenRejected', 'invalidated, in passing')
  await until(() => on.volumes.count().connected === 0, { what: 'the host to notice' })
  await on.volumes.publish(volumeRequest(), on.signal)
  const again = await on.daemon.stream(1)
  t.is(again.heard[0]?.open?.tokens?.[0]?.token?.toString(), 'token-1')
})

test('what an earlier process swapped out is pruned after an adoption', async (t) => {
  const store = new MemoryStore()
  const before = world(t, store)
  await published(before)
  before.volumes.stop()
  const after = world(t, store)
  after.volumes.adopt()
  await after.clock.advance(LINGER_MS)
  t.true(store.calls.includes('prune'))
})

test('tokens that were refused are not tried again before kubelet comes by', async (t) => {
  const on = world(t)
  const { stream } = await published(on)
  stream.refuse('TokenRejected', 'invalidated')
  await until(() => on.volumes.count().connected === 0, { what: 'the host to notice' })
  await on.clock.advance(10 * 60_000)
  t.is(on.daemon.streams.length, 1)
  await on.volumes.publish(volumeRequest({ tokens: [tokenOf('token-2')] }), on.signal)
  const again = await on.daemon.stream(1)
  t.is(again.heard[0]?.open?.tokens?.[0]?.token?.toString(), 'token-2')
})

test('a restarted host resumes what it finds mounted, with proof of what is there', async (t) => {
  const store = new MemoryStore()
  const before = world(t, store)
  await published(before)
  const digest = store.digest({ ...volumeRequest() })
  before.volumes.stop()

  const after = world(t, store)
  after.volumes.adopt()
  const stream = await after.daemon.stream(0)
  t.deepEqual(stream.heard[0]?.resume?.digest, digest)
  stream.say({ resumed: { needed: null } })
  stream.contents(2, { password: 'two' })
  await stream.hears('committed')
  t.is(store.read(volumeRequest().volumeId, 'password'), 'two')
})

test('an unknown session is not asked for again before kubelet brings tokens', async (t) => {
  const store = new MemoryStore()
  const before = world(t, store)
  await published(before)
  before.volumes.stop()

  const after = world(t, store)
  after.volumes.adopt()
  const resumed = await after.daemon.stream(0)
  resumed.refuse('UnknownSession', 'never heard of it')
  await until(() => after.volumes.count().connected === 0, { what: 'the host to notice' })
  await after.clock.advance(10 * 60_000)
  t.is(after.daemon.streams.length, 1)
  await after.volumes.publish(volumeRequest(), after.signal)
  const opened = await after.daemon.stream(1)
  t.truthy(opened.heard[0]?.open)
  t.deepEqual(
    store.calls.filter((call) => call !== 'prune'),
    ['create'],
  )
})

test('tokens that come while an unknown session is being refused are used at once', async (t) => {
  const store = new MemoryStore()
  const before = world(t, store)
  await published(before)
  before.volumes.stop()

  const after = world(t, store)
  after.volumes.adopt()
  const resumed = await after.daemon.stream(0)
  await until(() => after.volumes.count().connected === 1, { what: 'the stream to be open' })
  await after.volumes.publish(volumeRequest(), after.signal)
  resumed.refuse('UnknownSession', 'never heard of it')
  await until(() => after.volumes.count().connected === 0, { what: 'the host to notice' })
  await after.clock.advance(1_000)
  const opened = await after.daemon.stream(1)
  t.truthy(opened.heard[0]?.open)
  opened.refuse('OperationPending', 'another host has it')
  await until(() => after.volumes.count().connected === 0, { what: 'the host to notice' })
  await after.clock.advance(10 * 60_000)
  t.is(after.daemon.streams.length, 2)
})

test('an unpublish removes the volume without waiting for the daemon, then tells it', async (t) => {
  const on = world(t)
  const { request, stream } = await published(on)
  await on.volumes.unpublish(request)
  t.false(on.store.isMounted(request))
  await stream.hears('unmounted')
  t.is(on.volumes.count().mounted, 0)
})

test('an unpublish works while the daemon is away, and again, and for what never was', async (t) => {
  const on = world(t)
  const { request, stream } = await published(on)
  on.daemon.isAway = true
  stream.refuse('DaemonUnavailable', 'gone')
  await on.volumes.unpublish(request)
  await on.volumes.unpublish(request)
  t.false(on.store.isMounted(request))
})

test('contents that arrive after the unpublish are dropped', async (t) => {
  const on = world(t)
  const { request, stream } = await published(on)
  const gone = on.volumes.unpublish(request)
  stream.contents(2, { password: 'late' })
  await gone
  await stream.hears('unmounted')
  t.false(on.store.isMounted(request))
  t.deepEqual(on.store.calls, ['create', 'remove'])
})

test('an unpublish during a held publish ends the publish and leaves nothing', async (t) => {
  const on = world(t)
  const request = volumeRequest()
  const publishing = on.volumes.publish(request, on.signal)
  await on.daemon.stream(0)
  const [outcome] = await Promise.allSettled([publishing, on.volumes.unpublish(request)])
  t.is(outcome.status, 'rejected')
  t.is(on.store.list().length, 0)
  t.is(on.volumes.count().pending, 0)
})

test('an unpublish that fails can be asked for again', async (t) => {
  const on = world(t)
  const { request } = await published(on)
  on.store.failNext = 'remove'
  await t.throwsAsync(on.volumes.unpublish(request), { message: 'remove failed as told' })
  await on.volumes.unpublish(request)
  t.false(on.store.isMounted(request))
})

test('a mount that somebody else took away is made anew with the next publish', async (t) => {
  const on = world(t)
  const { request } = await published(on)
  on.store.remove(request)
  const publishing = on.volumes.publish(volumeRequest(), on.signal)
  const stream = await on.daemon.stream(1)
  stream.contents(1, { password: 'one' })
  await publishing
  t.true(on.store.isMounted(request))
})

test('a daemon whose digest is not that of its files is not obeyed', async (t) => {
  const on = world(t)
  const publishing = on.volumes.publish(volumeRequest(), on.signal)
  const stream = await on.daemon.stream(0)
  const file = { path: 'password', data: Buffer.from('one'), mode: 0o644, ownerUid: 0 }
  stream.say({ contents: { generation: 1, files: [file], digest: Buffer.alloc(32), needed: null } })
  await t.throwsAsync(publishing, { message: /digest/ })
  t.deepEqual(on.store.calls, ['remove'])
})

test('a stream that a newer one displaced is not opened again before kubelet comes by', async (t) => {
  const on = world(t)
  const { stream } = await published(on)
  stream.refuse('OperationPending', 'a newer stream has taken this volume')
  await until(() => on.volumes.count().connected === 0, { what: 'the host to notice' })
  await on.clock.advance(10 * 60_000)
  t.is(on.daemon.streams.length, 1)
})

for (const [what, files] of [
  ['a path out of the volume', { '../evil': 'x' }],
  ['an absolute path', { '/etc/passwd': 'x' }],
  ['a path that is both file and folder', { a: 'x', 'a/b': 'y' }],
  ['more bytes than a volume may have', { big: 'x'.repeat(1025) }],
] as const) {
  test(`a daemon that sends ${what} is not obeyed`, async (t) => {
    const on = world(t)
    const publishing = on.volumes.publish(volumeRequest(), on.signal)
    const stream = await on.daemon.stream(0)
    stream.contents(1, files)
    await t.throwsAsync(publishing)
    t.deepEqual(on.store.calls, ['remove'])
  })
}

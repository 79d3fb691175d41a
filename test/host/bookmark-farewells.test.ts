import test, { type ExecutionContext } from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { until } from '../support/until.ts'
import { volumeRequest } from '../support/volume-requests.ts'
import { BookmarkWorld, farewellWith, openedWith, wordsOn } from './bookmark-world.ts'

test('after Unmounted the stream stays until the daemon has given everything back', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  await on.volumes.unpublish(request)
  t.false(on.store.isMounted(request))
  await stream.hears('unmounted')
  await on.clock.advance(10_000)
  t.false(stream.isOver)
  stream.finish()
  await on.clock.advance(10 * 60_000)
  t.is(on.daemon.streams.length, 1)
  t.is(on.clock.pending, 0)
})

test('without a bookmark the stream ends with Unmounted, and nothing follows', async (t) => {
  const on = new BookmarkWorld(t)
  const { publishing, request, stream } = await on.begin()
  stream.contents(1, { password: 'one' })
  await publishing
  await on.volumes.unpublish(request)
  await stream.hears('unmounted')
  stream.finish()
  await on.clock.advance(60_000)
  t.is(on.daemon.streams.length, 1)
})

test('a daemon that does not end a stream without a bookmark is hung up on', async (t) => {
  const on = new BookmarkWorld(t)
  const { publishing, request, stream } = await on.begin()
  stream.contents(1, { password: 'one' })
  await publishing
  await on.volumes.unpublish(request)
  await stream.hears('unmounted')
  t.false(stream.isOver)
  await on.clock.advance(2_000)
  await until(() => stream.isOver, { what: 'the host to hang up' })
  await on.clock.advance(60_000)
  t.is(on.daemon.streams.length, 1)
})

test('a daemon that dies before it acknowledges is followed by a farewell to the next one', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  await on.volumes.unpublish(request)
  await stream.hears('unmounted')
  stream.refuse('DaemonUnavailable', 'killed')
  await on.clock.advance(2_000)
  const farewell = await on.daemon.farewell(0)
  t.deepEqual(farewell.heard, [
    { farewell: { volumeId: request.volumeId, bookmark: Buffer.from('lease-1') } },
  ])
  farewell.finish()
  await on.clock.advance(10 * 60_000)
  t.is(on.daemon.streams.length, 2)
  t.deepEqual(await on.farewells(), { waiting: 0, done: 1, givenUp: 0 })
})

test('a source that is away when the volume goes is no end of it', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  await on.volumes.unpublish(request)
  await stream.hears('unmounted')
  stream.refuse('SourceUnavailable', 'sealed')
  await on.clock.advance(2_000)
  t.is(farewellWith(await on.daemon.farewell(0)), 'lease-1')
})

test('an unpublish while no stream is open leaves a farewell, and no further Open', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  on.daemon.isAway = true
  stream.refuse('DaemonUnavailable', 'killed')
  await until(() => on.volumes.count().connected === 0, { what: 'the host to notice' })
  await on.volumes.unpublish(request)
  on.daemon.isAway = false
  await on.clock.advance(2_000)
  t.is(farewellWith(await on.daemon.farewell(0)), 'lease-1')
  t.is(on.daemon.streams.filter(({ heard }) => heard[0]?.open != null).length, 1)
})

test('a bookmark that crosses Unmounted is noted, and is the one to be given back', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  await on.volumes.unpublish(request)
  await stream.hears('unmounted')
  stream.bookmark('lease-2')
  await stream.hears('noted', 2)
  stream.refuse('DaemonUnavailable', 'killed')
  await on.clock.advance(2_000)
  t.is(farewellWith(await on.daemon.farewell(0)), 'lease-2')
})

/** A volume whose first bookmark arrives in the moment in which it is taken away. */
async function crossing(t: ExecutionContext) {
  const on = new BookmarkWorld(t)
  const { publishing, request, stream } = await on.begin()
  stream.contents(1, { password: 'one' })
  await publishing
  const remove = on.store.remove.bind(on.store)
  on.store.remove = (volume) => {
    remove(volume)
    stream.bookmark('lease-1')
  }
  await on.volumes.unpublish(request)
  return { on, stream }
}

test('a first bookmark that crosses Unmounted leaves a farewell', async (t) => {
  const { on, stream } = await crossing(t)
  stream.refuse('DaemonUnavailable', 'killed')
  await on.clock.advance(2_000)
  t.is(farewellWith(await on.daemon.farewell(0)), 'lease-1')
})

test('a first bookmark that crosses Unmounted leaves none where the daemon ends the stream well', async (t) => {
  const { on, stream } = await crossing(t)
  await stream.hears('unmounted')
  stream.finish()
  await on.clock.advance(10 * 60_000)
  t.deepEqual(await on.farewells(), { waiting: 0, done: 0, givenUp: 0 })
})

test('a stream that ended well while the pod lived acknowledges nothing', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  stream.finish()
  const again = await on.reopened()
  t.is(openedWith(again), 'lease-1')
  await on.volumes.unpublish(request)
  again.refuse('DaemonUnavailable', 'killed')
  await on.clock.advance(2_000)
  t.is(farewellWith(await on.daemon.farewell(0)), 'lease-1')
})

test('contents that cross Unmounted are dropped without a word', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  await on.volumes.unpublish(request)
  await stream.hears('unmounted')
  stream.contents(2, { password: 'two' })
  stream.finish()
  await on.clock.advance(60_000)
  t.deepEqual(wordsOn(stream), ['open', 'noted', 'committed', 'unmounted'])
  t.false(on.store.isMounted(request))
  t.is(on.daemon.farewells.length, 0)
})

test('a daemon that never acknowledges is asked again by a farewell, after a minute', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  await on.volumes.unpublish(request)
  await stream.hears('unmounted')
  await on.clock.advance(59_000)
  t.is(on.daemon.farewells.length, 0)
  await on.clock.advance(4_000)
  t.true(stream.isOver)
  t.is(farewellWith(await on.daemon.farewell(0)), 'lease-1')
})

test('a volume that is swept away leaves a farewell where no daemon is there', async (t) => {
  const on = new BookmarkWorld(t)
  const { stream } = await on.published('lease-1')
  stream.refuse('DaemonUnavailable', 'killed')
  await until(() => on.volumes.count().connected === 0, { what: 'the host to notice' })
  for (const keeper of on.volumes.keepers()) {
    t.true(await on.volumes.sweep(keeper, () => Promise.resolve(true)))
  }
  await on.clock.advance(2_000)
  t.is(farewellWith(await on.daemon.farewell(0)), 'lease-1')
})

test('an unpublish that fails says nothing, and keeps the bookmark for the one that does not', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  on.store.failNext = 'remove'
  await t.throwsAsync(on.volumes.unpublish(request), { message: 'remove failed as told' })
  await on.clock.advance(2_000)
  t.false(stream.isOver)
  await on.volumes.unpublish(request)
  await stream.hears('unmounted')
  stream.refuse('DaemonUnavailable', 'killed')
  await on.clock.advance(2_000)
  t.is(farewellWith(await on.daemon.farewell(0)), 'lease-1')
})

test('a first publish that is undone leaves a farewell for what had been minted', async (t) => {
  const on = new BookmarkWorld(t)
  const { publishing, stream } = await on.begin()
  stream.bookmark('lease-1')
  stream.refuse('AccessDenied', 'not this role')
  await t.throwsAsync(publishing, { message: 'not this role' })
  await on.clock.advance(2_000)
  t.is(farewellWith(await on.daemon.farewell(0)), 'lease-1')
})

test('a first publish whose volume cannot be built leaves a farewell too', async (t) => {
  const on = new BookmarkWorld(t)
  on.store.failNext = 'create'
  const { publishing, stream } = await on.begin()
  stream.bookmark('lease-1')
  stream.contents(1, { password: 'one' })
  await t.throwsAsync(publishing, { message: 'create failed as told' })
  await on.clock.advance(2_000)
  t.is(farewellWith(await on.daemon.farewell(0)), 'lease-1')
})

test('a first publish that kubelet gives up says Unmounted, and waits for the answer', async (t) => {
  const on = new BookmarkWorld(t)
  const hangUp = new AbortController()
  const publishing = on.volumes.publish(volumeRequest(), hangUp.signal)
  const stream = await on.daemon.stream(0)
  stream.bookmark('lease-1')
  await stream.hears('noted')
  hangUp.abort(new LatchkeyError('Timeout', 'kubelet hung up'))
  await t.throwsAsync(publishing)
  await stream.hears('unmounted')
  stream.contents(1, { password: 'late' })
  await on.clock.advance(1_000)
  t.false(stream.isOver)
  t.false(on.store.isMounted(volumeRequest()))
  stream.finish()
  await on.clock.advance(60_000)
  t.is(on.daemon.streams.length, 1)
})

test('a mount that somebody else took away: both the old and the new go on by themselves', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  on.store.remove(request)
  const again = await on.published('lease-2')
  t.is(openedWith(again.stream), '')
  await stream.hears('unmounted')
  stream.refuse('OperationPending', 'a newer stream has taken this volume')
  await on.clock.advance(2_000)
  t.is(farewellWith(await on.daemon.farewell(0)), 'lease-1')
  again.stream.refuse('DaemonUnavailable', 'killed')
  t.is(openedWith(await on.reopened()), 'lease-2')
})

test('a new publish of a volume whose farewell waits does not take that over', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  await on.volumes.unpublish(request)
  stream.refuse('SourceUnavailable', 'sealed')
  await on.clock.advance(0)
  const again = await on.begin()
  t.is(openedWith(again.stream), '')
  again.stream.contents(1, { password: 'two' })
  await again.publishing
  await on.clock.advance(2_000)
  const farewell = await on.daemon.farewell(0)
  farewell.finish()
  await on.clock.advance(60_000)
  t.is(on.store.read(request.volumeId, 'password'), 'two')
  t.deepEqual(await on.farewells(), { waiting: 0, done: 1, givenUp: 0 })
})

import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import { until } from '../support/until.ts'
import { POD_UID, tokenOf, volumeRequest } from '../support/volume-requests.ts'
import { BookmarkWorld, openedWith, wordsOn } from './bookmark-world.ts'

const KIB = 1024

test('a bookmark is noted before the contents that come after it are applied', async (t) => {
  const on = new BookmarkWorld(t)
  const { stream } = await on.published('lease-1')
  await stream.hears('committed')
  t.deepEqual(wordsOn(stream), ['open', 'noted', 'committed'])
})

test('a bookmark that comes between Contents and Committed is held as well', async (t) => {
  const on = new BookmarkWorld(t)
  const { publishing, stream } = await on.begin()
  stream.contents(1, { password: 'one' })
  stream.bookmark('lease-1')
  await publishing
  await stream.hears('noted')
  t.deepEqual(wordsOn(stream), ['open', 'committed', 'noted'])
  stream.refuse('DaemonUnavailable', 'killed')
  t.is(openedWith(await on.reopened()), 'lease-1')
})

test('the first Open of a volume carries no bookmark', async (t) => {
  const on = new BookmarkWorld(t)
  const { stream } = await on.begin()
  t.is(openedWith(stream), '')
})

test('a daemon that dies in the midst of the first publish gets its bookmark back', async (t) => {
  const on = new BookmarkWorld(t)
  const { publishing, stream } = await on.begin()
  stream.bookmark('lease-1')
  await stream.hears('noted')
  stream.refuse('DaemonUnavailable', 'killed')
  const again = await on.reopened()
  t.is(openedWith(again), 'lease-1')
  again.contents(1, { password: 'one' })
  await publishing
  t.is(on.daemon.farewells.length, 0)
})

test('a daemon that dies before it hears Noted gets its bookmark back if it had arrived', async (t) => {
  const on = new BookmarkWorld(t)
  const { stream } = await on.begin()
  // Both in one breath: the host reads the bookmark, and cannot answer any more.
  stream.bookmark('lease-1')
  stream.refuse('DaemonUnavailable', 'killed')
  const again = await on.reopened()
  t.deepEqual(wordsOn(stream), ['open'])
  t.is(openedWith(again), 'lease-1')
})

test('a daemon that dies before its bookmark is on its way gets the older one', async (t) => {
  const on = new BookmarkWorld(t)
  const { stream } = await on.published('lease-1')
  stream.refuse('DaemonUnavailable', 'killed')
  const again = await on.reopened()
  t.is(openedWith(again), 'lease-1')
  again.bookmark('lease-2')
  await again.hears('noted')
  again.refuse('DaemonUnavailable', 'killed')
  t.is(openedWith(await on.reopened()), 'lease-2')
})

test('what came from the wire is zeroed, and what is said is a copy that outlives it', async (t) => {
  const on = new BookmarkWorld(t)
  const { stream } = await on.begin()
  const bytes = stream.bookmark('lease-1')
  await stream.hears('noted')
  t.deepEqual(bytes, Buffer.alloc(bytes.length))
})

test('an empty bookmark is noted, and forgets the one before', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  stream.bookmark('')
  await stream.hears('noted', 2)
  stream.refuse('DaemonUnavailable', 'killed')
  const again = await on.reopened()
  t.is(openedWith(again), '')
  again.contents(1, { password: 'one' })
  await again.hears('committed')
  await on.volumes.unpublish(request)
  await again.hears('unmounted')
  again.refuse('DaemonUnavailable', 'killed')
  await on.clock.advance(5 * 60_000)
  t.is(on.daemon.farewells.length, 0)
})

test('a bookmark of 64 KiB is held', async (t) => {
  const on = new BookmarkWorld(t)
  const { stream } = await on.begin()
  stream.bookmark(Buffer.alloc(64 * KIB, 'x'))
  await stream.hears('noted')
  stream.refuse('DaemonUnavailable', 'killed')
  t.is(openedWith(await on.reopened())?.length, 64 * KIB)
})

test('a larger one ends the stream, and what was mounted and noted stays', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  const huge = stream.bookmark(Buffer.alloc(64 * KIB + 1, 'x'))
  await until(() => stream.isOver, { what: 'the host to hang up' })
  t.deepEqual(huge, Buffer.alloc(huge.length))
  const error = on.volumes.keepers()[0]?.lastError
  t.is(error?.reason, 'PayloadTooLarge')
  t.is(error?.message, 'bookmark: 65537 bytes, 65536 allowed')
  t.is(on.store.read(request.volumeId, 'password'), 'one')
  t.is(openedWith(await on.reopened()), 'lease-1')
})

test('a larger one before anything is mounted is the answer to the publish', async (t) => {
  const on = new BookmarkWorld(t)
  const { publishing, stream } = await on.begin()
  stream.bookmark(Buffer.alloc(64 * KIB + 1, 'x'))
  const error = LatchkeyError.from(await t.throwsAsync(publishing))
  t.is(error.reason, 'PayloadTooLarge')
})

test('of a flood of bookmarks each is noted and zeroed, and the last one held', async (t) => {
  const on = new BookmarkWorld(t)
  const { stream } = await on.begin()
  const all = Array.from({ length: 5_000 }, (_, index) => stream.bookmark(`lease-${index}`))
  await stream.hears('noted', 5_000)
  t.true(all.every((bytes) => bytes.every((byte) => byte === 0)))
  stream.refuse('DaemonUnavailable', 'killed')
  t.is(openedWith(await on.reopened()), 'lease-4999')
})

test('a Resume carries no bookmark, and a bookmark that comes on it is held', async (t) => {
  const on = new BookmarkWorld(t)
  const request = volumeRequest({ tokens: [tokenOf('token-1', on.clock.now() + 5_000)] })
  const { stream } = await on.published('lease-1', request)
  await on.clock.advance(10_000)
  stream.refuse('DaemonUnavailable', 'broken')
  const resumed = await on.reopened()
  t.deepEqual(Object.keys(resumed.heard[0]?.resume ?? {}), ['volumeId', 'targetPath', 'digest'])
  resumed.bookmark('lease-2')
  await resumed.hears('noted')
  resumed.refuse('UnknownSession', 'never heard of it')
  await until(() => on.volumes.count().connected === 0, { what: 'the host to notice' })
  const index = on.daemon.streams.length
  await on.volumes.publish(
    volumeRequest({ tokens: [tokenOf('token-2')] }),
    new AbortController().signal,
  )
  t.is(openedWith(await on.daemon.stream(index)), 'lease-2')
})

test('two volumes at once keep their bookmarks apart', async (t) => {
  const on = new BookmarkWorld(t)
  const other = volumeRequest({
    volumeId: volumeIdOf(POD_UID, 'cache'),
    targetPath: volumeRequest().targetPath.replace('/db/', '/cache/'),
  })
  const first = await on.published('lease-db')
  const second = await on.published('lease-cache', other)
  for (const { stream } of [first, second]) stream.refuse('DaemonUnavailable', 'killed')
  await on.clock.advance(1_000)
  const again = on.daemon.streams.slice(2)
  t.is(again.length, 2)
  const openedFor = ({ volumeId }: { readonly volumeId: string }): string | undefined =>
    again.filter(({ heard }) => heard[0]?.open?.volumeId === volumeId).map(openedWith)[0]
  t.is(openedFor(first.request), 'lease-db')
  t.is(openedFor(other), 'lease-cache')
})

test('a stream that a newer one displaced keeps its bookmark for when kubelet comes by', async (t) => {
  const on = new BookmarkWorld(t)
  const { stream } = await on.published('lease-1')
  stream.bookmark('lease-2')
  stream.refuse('OperationPending', 'a newer stream has taken this volume')
  await on.clock.advance(10 * 60_000)
  t.is(on.daemon.streams.length, 1)
  await on.volumes.publish(volumeRequest(), new AbortController().signal)
  t.is(openedWith(await on.daemon.stream(1)), 'lease-2')
})

test('what a stream says after it was hung up is not held', async (t) => {
  const on = new BookmarkWorld(t)
  const { stream } = await on.published('lease-1')
  on.volumes.stop()
  const late = stream.bookmark('lease-2')
  await until(() => late.every((byte) => byte === 0), { what: 'the late bookmark to be zeroed' })
  await on.clock.advance(60_000)
  t.is(on.daemon.streams.length, 1)
})

test('a host that stops says nothing, and nothing of it waits', async (t) => {
  const on = new BookmarkWorld(t)
  const { stream } = await on.published('lease-1')
  on.volumes.stop()
  await on.clock.advance(2 * 60 * 60_000)
  t.deepEqual(wordsOn(stream), ['open', 'noted', 'committed'])
  t.true(stream.isOver)
  t.is(on.daemon.streams.length, 1)
  t.is(on.clock.pending, 0)
})

test('a host that stops while a daemon has yet to acknowledge lets go, without a farewell', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('lease-1')
  await on.volumes.unpublish(request)
  await stream.hears('unmounted')
  on.volumes.stop()
  await until(() => stream.isOver, { what: 'the host to hang up' })
  await on.clock.advance(2 * 60 * 60_000)
  t.is(on.daemon.streams.length, 1)
  t.is(on.clock.pending, 0)
})

test('a host that stops in the midst of a first publish says Unmounted and no farewell', async (t) => {
  const on = new BookmarkWorld(t)
  const { publishing, stream } = await on.begin()
  stream.bookmark('lease-1')
  await stream.hears('noted')
  on.volumes.stop()
  await t.throwsAsync(publishing, { message: 'the host side is stopping' })
  await stream.hears('unmounted')
  await on.clock.advance(2 * 60 * 60_000)
  t.is(on.daemon.streams.length, 1)
  t.is(on.clock.pending, 0)
})

test('a bookmark is in no log line, no error and no metric, whatever becomes of it', async (t) => {
  const on = new BookmarkWorld(t)
  const canary = 'canary-7f3a9c'
  const { request, stream } = await on.published(canary)
  stream.bookmark(Buffer.from(canary.repeat(6_000)))
  await until(() => stream.isOver, { what: 'the host to hang up' })
  const again = await on.reopened()
  await on.volumes.unpublish(request)
  again.refuse('SourceUnavailable', 'sealed')
  await on.clock.advance(2_000)
  const farewell = await on.daemon.farewell(0)
  farewell.refuse('AccessDenied', 'no')
  await on.clock.advance(61 * 60_000)
  const { publishing, stream: undone } = await on.begin()
  undone.bookmark(Buffer.from(canary.repeat(6_000)))
  const error = LatchkeyError.from(await t.throwsAsync(publishing))
  const seen = [...on.lines, String(error), await on.metrics.text()].join('\n')
  for (const form of ['utf8', 'base64', 'hex'] as const) {
    t.false(seen.includes(Buffer.from(canary).toString(form).replace(/=+$/, '')))
  }
  t.true(seen.includes('farewell'))
  t.true(seen.includes('PayloadTooLarge'))
})

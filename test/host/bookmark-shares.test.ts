import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import type { VolumeRequest } from '../../src/core/types.ts'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import { BookmarkRoom } from '../../src/host/bookmark-room.ts'
import { HeldBookmark } from '../../src/host/bookmark.ts'
import { until } from '../support/until.ts'
import { POD_UID, tokenOf, volumeRequest } from '../support/volume-requests.ts'
import { BookmarkWorld, farewellWith, openedWith } from './bookmark-world.ts'

const KIB = 1024
const LARGEST = 64 * KIB
/** What one namespace gets alone of 24 MiB. */
const LARGEST_OF_ONE = 307
const SMALL_OF_ONE = 1_228

/** As many bookmarks of this size as a namespace gets. */
function fill(room: BookmarkRoom, namespace: string, bytes: number): HeldBookmark[] {
  const all: HeldBookmark[] = []
  for (;;) {
    const held = new HeldBookmark(room, () => namespace)
    try {
      held.hold(Buffer.alloc(bytes, 'x'))
    } catch (thrown) {
      if (LatchkeyError.from(thrown).reason === 'Overloaded') return all
      throw thrown
    }
    all.push(held)
  }
}

function volumeOf(namespace: string, name: string): VolumeRequest {
  return volumeRequest({
    volumeId: volumeIdOf(POD_UID, name),
    targetPath: volumeRequest().targetPath.replace('/db/', `/${name}/`),
    pod: { ...volumeRequest().pod, namespace },
  })
}

test('bookmarks of one namespace take four of five of the room, and those of another find their place', (t) => {
  const room = new BookmarkRoom()
  t.is(fill(room, 'loud', LARGEST).length, LARGEST_OF_ONE)
  t.true(fill(room, 'calm', LARGEST).length > 50)
  t.true(fill(room, 'late', LARGEST).length > 5)
})

test('the refusal names the namespace and the limit, zeroes what came, and costs no bookmark that is held', (t) => {
  const room = new BookmarkRoom()
  const all = fill(room, 'loud', LARGEST)
  const last = new HeldBookmark(room, () => 'loud')
  const data = Buffer.from('lease')
  const error = LatchkeyError.from(
    t.throws(() => {
      last.hold(data)
    }),
  )
  t.is(error.reason, 'Overloaded')
  t.is(
    error.message,
    'what volumes of namespace "loud" have leased takes 20119552 of 25165824 bytes for the bookmarks of this node, or has yet to be given back; one namespace gets four of five that are left at most',
  )
  t.deepEqual(data, Buffer.alloc(5))
  t.true(last.isEmpty)
  t.true(all.every((held) => held.copy().equals(Buffer.alloc(LARGEST, 'x'))))
})

test('what lets go makes room for the next of its namespace', (t) => {
  const room = new BookmarkRoom()
  const [first, second] = fill(room, 'loud', LARGEST)
  first?.close()
  second?.hold(Buffer.alloc(0))
  t.is(fill(room, 'loud', LARGEST).length, 2)
})

test('a volume is refused before it leases anything: what it is left afterwards finds its place', (t) => {
  const room = new BookmarkRoom()
  const all = fill(room, 'loud', 1)
  t.is(all.length, SMALL_OF_ONE)
  for (const held of all) held.hold(Buffer.alloc(16 * KIB, 'x'))
  t.is(fill(room, 'calm', 16 * KIB).length, 246)
})

test('a bookmark that becomes smaller is taken where there is no room at all', (t) => {
  const room = new BookmarkRoom()
  const [first] = fill(room, 'loud', LARGEST)
  for (const namespace of ['a', 'b', 'c', 'd', 'e', 'f']) fill(room, namespace, LARGEST)
  first?.hold(Buffer.alloc(LARGEST - 1, 'y'))
  t.is(first?.copy().length, LARGEST - 1)
})

test('an adopted volume counts for its namespace once kubelet has named it', (t) => {
  const room = new BookmarkRoom()
  let namespace = ''
  const adopted = new HeldBookmark(room, () => namespace)
  adopted.hold(Buffer.alloc(LARGEST, 'x'))
  t.is(fill(room, 'loud', LARGEST).length, LARGEST_OF_ONE - 1)
  namespace = 'loud'
  adopted.hold(Buffer.alloc(LARGEST, 'y'))
  t.is(adopted.namespace, 'loud')
  adopted.close()
  t.is(fill(room, 'loud', LARGEST).length, 1)
})

test('a namespace that has leased all it may is refused, its volumes keep what they have, and another is served', async (t) => {
  const on = new BookmarkWorld(t)
  const bookmark = 'x'.repeat(LARGEST)
  for (let index = 0; index < LARGEST_OF_ONE; index += 1) {
    await on.published(bookmark, volumeOf('loud', `v${index}`))
  }
  const { publishing, stream } = await on.begin(volumeOf('loud', 'beyond'))
  stream.bookmark('lease')
  const error = LatchkeyError.from(await t.throwsAsync(publishing))
  t.is(error.reason, 'Overloaded')
  t.regex(error.message, /namespace "loud"/)
  t.is(on.volumes.count().mounted, LARGEST_OF_ONE)

  const calm = await on.published(bookmark, volumeOf('calm', 'calm'))
  calm.stream.refuse('DaemonUnavailable', 'killed')
  t.is(openedWith(await on.reopened()), bookmark)
  await on.clock.advance(60 * 60_000)
  t.deepEqual(await on.farewells(), { waiting: 0, done: 0, givenUp: 0 })
})

test('what has yet to be given back keeps its place, and is said farewell to although the room is full', async (t) => {
  const on = new BookmarkWorld(t)
  for (let index = 0; index < LARGEST_OF_ONE; index += 1) {
    const request = volumeOf('loud', `v${index}`)
    const { stream } = await on.published('x'.repeat(LARGEST), request)
    await on.volumes.unpublish(request)
    stream.refuse('SourceUnavailable', 'sealed')
  }
  await until(async () => (await on.farewells()).waiting === LARGEST_OF_ONE, {
    what: 'all farewells to wait',
  })
  const { publishing, stream } = await on.begin(volumeOf('loud', 'beyond'))
  stream.bookmark('lease')
  t.is(LatchkeyError.from(await t.throwsAsync(publishing)).reason, 'Overloaded')
  t.is((await on.farewells()).waiting, LARGEST_OF_ONE)

  await on.clock.advance(2_000)
  const farewell = await on.daemon.farewell(0)
  t.is(farewellWith(farewell)?.length, LARGEST)
  farewell.finish()
  await on.clock.advance(0)
  await on.published('lease', volumeOf('loud', 'next'))
  t.is((await on.farewells()).waiting, LARGEST_OF_ONE - 1)
})

test('after an adoption the namespace is that of the next republish', async (t) => {
  const on = new BookmarkWorld(t)
  const request = volumeOf('loud', 'adopted')
  on.store.create({ ...request, fsGroup: undefined }, [])
  on.volumes.adopt()
  const resumed = await on.daemon.stream(0)
  resumed.bookmark('lease-1')
  await resumed.hears('noted')
  const signal = new AbortController().signal
  await on.volumes.publish({ ...request, tokens: [tokenOf('token-2')] }, signal)
  resumed.bookmark('lease-2')
  await resumed.hears('noted', 2)
  await on.volumes.unpublish(request)
  resumed.refuse('SourceUnavailable', 'sealed')
  await on.clock.advance(2_000)
  t.is(farewellWith(await on.daemon.farewell(0)), 'lease-2')
})

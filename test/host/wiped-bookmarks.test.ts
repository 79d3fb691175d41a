import test, { type ExecutionContext } from 'ava'
import { SecretBytes } from '../../src/core/secret-bytes.ts'
import { BookmarkRoom } from '../../src/host/bookmark-room.ts'
import { HeldBookmark } from '../../src/host/bookmark.ts'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import { POD_UID, volumeRequest } from '../support/volume-requests.ts'
import { BookmarkWorld } from './bookmark-world.ts'

/** Every copy that this file has had made, by what it held then. */
const copies = new Map<string, SecretBytes>()
const copyOf = SecretBytes.copyOf.bind(SecretBytes)
SecretBytes.copyOf = (bytes) => {
  const copy = copyOf(bytes)
  copies.set(Buffer.from(bytes).toString(), copy)
  return copy
}

function isWiped(bookmark: string): boolean | undefined {
  return copies.get(bookmark)?.use((bytes) => bytes.every((byte) => byte === 0))
}

function bookmark(): HeldBookmark {
  return new HeldBookmark(new BookmarkRoom(), () => 'shop')
}

function volume(name: string) {
  return volumeRequest({
    volumeId: volumeIdOf(POD_UID, name),
    targetPath: volumeRequest().targetPath.replace('/db/', `/${name}/`),
  })
}

async function settled(t: ExecutionContext, on: BookmarkWorld): Promise<void> {
  await on.clock.advance(0)
  t.is(on.daemon.farewells.length, 0)
}

test('a newer bookmark takes the place of the older one, which is zeroed', (t) => {
  const held = bookmark()
  held.hold(Buffer.from('older'))
  t.false(isWiped('older'))
  held.hold(Buffer.from('newer'))
  t.deepEqual([isWiped('older'), isWiped('newer')], [true, false])
  t.is(held.copy().toString(), 'newer')
})

test('no bytes leave nothing held', (t) => {
  const held = bookmark()
  held.hold(Buffer.from('forgotten'))
  held.hold(Buffer.alloc(0))
  t.true(isWiped('forgotten'))
  t.true(held.isEmpty)
})

test('one that is refused leaves the older one held', (t) => {
  const held = bookmark()
  held.hold(Buffer.from('good'))
  t.throws(() => {
    held.hold(Buffer.alloc(64 * 1024 + 1))
  })
  t.false(isWiped('good'))
  t.is(held.copy().toString(), 'good')
})

test('what comes after the end is zeroed and not held', (t) => {
  const held = bookmark()
  held.close()
  const late = Buffer.from('late')
  held.hold(late)
  t.deepEqual(late, Buffer.alloc(4))
  t.true(held.isEmpty)
})

test('a host that stops zeroes the bookmark of every volume, whatever it is at', async (t) => {
  const on = new BookmarkWorld(t)
  await on.published('of-mounted', volume('mounted'))

  const leaving = await on.published('of-leaving', volume('leaving'))
  await on.volumes.unpublish(leaving.request)
  await leaving.stream.hears('unmounted')

  const gone = await on.published('of-gone', volume('gone'))
  await on.volumes.unpublish(gone.request)
  gone.stream.refuse('SourceUnavailable', 'sealed')

  const { publishing, stream } = await on.begin(volume('pending'))
  stream.bookmark('of-pending')
  await stream.hears('noted')
  await settled(t, on)

  const all = ['of-mounted', 'of-leaving', 'of-gone', 'of-pending']
  t.deepEqual(all.map(isWiped), [false, false, false, false])
  on.volumes.stop()
  t.deepEqual(all.map(isWiped), [true, true, true, true])
  await t.throwsAsync(publishing)
  await settled(t, on)
})

test('a bookmark is zeroed when the daemon has acknowledged that the volume is gone', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('acknowledged')
  await on.volumes.unpublish(request)
  await stream.hears('unmounted')
  t.false(isWiped('acknowledged'))
  stream.finish()
  await settled(t, on)
  t.true(isWiped('acknowledged'))
})

test('a bookmark is zeroed when a later daemon has heard the farewell', async (t) => {
  const on = new BookmarkWorld(t)
  const { request, stream } = await on.published('said-farewell')
  await on.volumes.unpublish(request)
  stream.refuse('DaemonUnavailable', 'killed')
  await on.clock.advance(2_000)
  const farewell = await on.daemon.farewell(0)
  t.false(isWiped('said-farewell'))
  farewell.finish()
  await on.clock.advance(0)
  t.true(isWiped('said-farewell'))
})

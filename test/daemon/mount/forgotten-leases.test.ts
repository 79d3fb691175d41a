import test from 'ava'
import { giveBackForgotten } from '../../../src/daemon/mount/give-back.ts'
import type { ScriptedShim } from '../../support/shim.ts'
import { until } from '../../support/until.ts'
import { bookmarkOf, LeasingWorld, opened } from './leasing-world.ts'

/* A host side that is killed has lost its bookmarks. What only the daemon knows of by then is given back by it. */

test('a session of a volume that a new host does not hold is given back, and no other', async (t) => {
  const on = new LeasingWorld()
  const { shim } = await opened(t, on)
  const { volumeId, targetPath } = on.sessions.list()[0]?.session.volume ?? {
    volumeId: '',
    targetPath: '',
  }
  const held = { volumeId, targetPath, state: 'HELD_MOUNTED', note: '' } as const
  await giveBackForgotten([], on.leasing)
  t.is(on.sessions.count().live, 1)
  shim.hangUp()
  await until(() => on.sessions.count().detached === 1, { what: 'the session to be detached' })
  await giveBackForgotten([], on.leasing)
  t.is(on.sessions.count().detached, 1, 'a report that was on its way says nothing')
  await on.clock.advance(10_000)
  await giveBackForgotten([held], on.leasing)
  t.is(on.sessions.count().detached, 1, 'the host holds it')
  await giveBackForgotten([], on.leasing)
  t.deepEqual(on.sessions.count(), { live: 0, detached: 0 })
  t.deepEqual([...on.vault.users], [])
  t.is(on.vault.drops, 0)
})

for (const [when, breakOff] of [
  ['before its first contents', () => Promise.resolve()],
  ['before it committed them', ({ shim }: { shim: ScriptedShim }) => shim.generation(1)],
] as const) {
  test(`a shim that is killed ${when} has what was leased given back with the next one’s report`, async (t) => {
    const on = new LeasingWorld()
    const stream = on.begin(t, on.open())
    await until(() => on.vault.users.size === 1, { what: 'the lease' })
    await breakOff(stream)
    stream.shim.hangUp()
    await stream.ended
    t.deepEqual([...on.vault.users], ['u-1'])
    await giveBackForgotten([], on.leasing)
    t.is(on.vault.users.size, 1, 'a report that was on its way says nothing')
    await on.clock.advance(10_000)
    await giveBackForgotten([], on.leasing)
    t.deepEqual([...on.vault.users], [])
    t.is(on.vault.drops, 0)
  })
}

test('a shim that comes again after it broke off goes on with what was leased for it', async (t) => {
  const on = new LeasingWorld()
  const first = on.begin(t, on.open())
  await first.shim.generation(1)
  first.shim.hangUp()
  await first.ended
  const second = await opened(t, on)
  t.is(second.text, 'user=u-1')
  t.is(on.vault.fetches, 1)
  await on.clock.advance(10_000)
  await giveBackForgotten([], on.leasing)
  t.deepEqual([...on.vault.users], ['u-1'], 'it is served')
  second.shim.say({ unmounted: {} })
  await second.ended
  t.deepEqual([...on.vault.users], [])
})

test('where no shim ever comes, what was leased for it is forgotten within ten minutes', async (t) => {
  const on = new LeasingWorld()
  const { shim, ended } = on.begin(t, on.open())
  await shim.generation(1)
  shim.hangUp()
  await ended
  t.is(on.vault.drops, 0)
  await on.clock.advance(600_000)
  t.is(on.vault.drops, 1)
})

test('a farewell to the first try leaves the second one what it has taken over', async (t) => {
  const on = new LeasingWorld()
  const first = on.begin(t, on.open())
  await first.shim.generation(1)
  const bookmark = bookmarkOf(first.shim)
  const { volumeId } = on.open().open ?? { volumeId: '' }
  first.shim.hangUp()
  await first.ended
  const second = on.begin(t, on.open())
  t.is((await second.shim.generation(1)).text, 'user=u-1')
  const farewell = { volumeId, bookmark }
  t.is(
    await on.begin(t, { farewell: { ...farewell, bookmark: Buffer.from(bookmark) } }).ended,
    undefined,
  )
  t.deepEqual([...on.vault.users], ['u-1'], 'it is about to be shown')
  second.shim.commit(1)
  await until(() => on.sessions.count().live === 1, { what: 'the second to be served' })
  t.is(await on.begin(t, { farewell }).ended, undefined)
  t.deepEqual([...on.vault.users], ['u-1'], 'it is shown')
  second.shim.say({ unmounted: {} })
  await second.ended
  t.deepEqual([...on.vault.users], [])
})

test('an Open under way loses nothing to a report that does not know of it yet', async (t) => {
  const on = new LeasingWorld()
  const first = on.begin(t, on.open())
  await first.shim.generation(1)
  first.shim.hangUp()
  await first.ended
  await on.clock.advance(10_000)
  const second = on.begin(t, on.open())
  await second.shim.generation(1)
  await giveBackForgotten([], on.leasing)
  t.deepEqual([...on.vault.users], ['u-1'])
})

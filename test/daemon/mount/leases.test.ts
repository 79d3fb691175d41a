import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { mount } from '../../../src/daemon/mount/mount.ts'
import { Sessions } from '../../../src/daemon/mount/sessions.ts'
import { readBookmark } from '../../../src/daemon/refresh/bookmark.ts'
import { ScriptedShim } from '../../support/shim.ts'
import { until } from '../../support/until.ts'
import { bookmarkOf, LeasingWorld, opened } from './leasing-world.ts'

test('the shim has a bookmark before anything is leased, and one with the lease before the contents', async (t) => {
  const on = new LeasingWorld()
  const { shim, text } = await opened(t, on)
  t.is(text, 'user=u-1')
  const words = shim.heard.map(({ bookmark, contents }) => {
    if (contents) return 'contents'
    const read = readBookmark(Buffer.from(bookmark?.data ?? ''))
    return [read?.isAsking === true ? 'asking' : 'held', read?.held.length, read?.logins.length]
  })
  t.deepEqual(words, [['asking', 0, 1], ['held', 1, 1], 'contents'])
})

test('Unmounted gives the lease and the session back before the stream ends', async (t) => {
  const on = new LeasingWorld()
  const { shim, ended } = await opened(t, on)
  shim.say({ unmounted: {} })
  t.is(await ended, undefined)
  t.deepEqual([...on.vault.users], [])
  t.is(on.vault.releases, 1)
  t.is(on.vault.drops, 0)
})

test('a source that is away has the shim keep its bookmark, and a farewell gives back later', async (t) => {
  const on = new LeasingWorld()
  const { shim, ended } = await opened(t, on)
  on.vault.away = 'SourceUnavailable'
  on.vault.isAcknowledging = false
  shim.say({ unmounted: {} })
  t.is((await ended)?.reason, 'SourceUnavailable')
  t.deepEqual([...on.vault.users], ['u-1'])
  on.vault.away = undefined
  on.vault.isAcknowledging = true
  const farewell = { volumeId: 'any', bookmark: bookmarkOf(shim) }
  t.is(await on.begin(t, { farewell }).ended, undefined)
  t.deepEqual([...on.vault.users], [])
})

test('a stream that breaks gives nothing back, and a Resume goes on with the same lease', async (t) => {
  const on = new LeasingWorld()
  const { shim, digest } = await opened(t, on)
  const { volumeId, targetPath } = on.sessions.list()[0]?.session.volume ?? {
    volumeId: '',
    targetPath: '',
  }
  shim.hangUp()
  await until(() => on.sessions.count().detached === 1, { what: 'the session to be detached' })
  on.begin(t, { resume: { volumeId, targetPath, digest } })
  await until(() => on.sessions.count().live === 1, { what: 'the session to be resumed' })
  t.deepEqual([...on.vault.users], ['u-1'])
  t.is(on.vault.fetches, 1)
})

test('a farewell ends the session that its broken stream left behind', async (t) => {
  const on = new LeasingWorld()
  const { shim } = await opened(t, on)
  const { volumeId } = on.sessions.list()[0]?.session.volume ?? { volumeId: '' }
  shim.hangUp()
  await until(() => on.sessions.count().detached === 1, { what: 'the session to be detached' })
  const farewell = { volumeId, bookmark: bookmarkOf(shim) }
  t.is(await on.begin(t, { farewell }).ended, undefined)
  t.deepEqual([...on.vault.users], [])
  t.deepEqual(on.sessions.count(), { live: 0, detached: 0 })
  t.is(on.budget.totalBytes, 0)
})

test('a shim that does not note its bookmark in time gets nothing leased', async (t) => {
  const on = new LeasingWorld()
  const shim = new ScriptedShim()
  const ended = mount(shim, on.leasing).catch((thrown: unknown) => LatchkeyError.from(thrown))
  shim.say(on.open())
  await until(() => shim.heard.length === 1, { what: 'the bookmark' })
  await on.clock.advance(30_000)
  t.is((await ended)?.reason, 'Timeout')
  t.is(on.vault.fetches, 0)
  shim.hangUp()
})

test('an Open beside a living session takes its lease over', async (t) => {
  const on = new LeasingWorld()
  const { ended } = await opened(t, on)
  const second = await opened(t, on)
  t.is((await ended)?.reason, 'OperationPending')
  t.is(second.text, 'user=u-1')
  t.is(on.vault.fetches, 1)
  second.shim.say({ unmounted: {} })
  await second.ended
  t.deepEqual([...on.vault.users], [])
})

test('a daemon that was restarted goes on with the bookmark and mints nothing', async (t) => {
  const on = new LeasingWorld()
  const { shim } = await opened(t, on)
  const bookmark = bookmarkOf(shim)
  const next = new LeasingWorld()
  for (const user of on.vault.users) next.vault.users.add(user)
  const again = await opened(t, next, bookmark)
  t.is(again.text, 'user=u-1')
  t.is(next.vault.fetches, 0)
  t.deepEqual(next.vault.resumed, ['session-1'])
})

test('a publish that is refused gives nothing back by itself: the shim says farewell', async (t) => {
  const on = new LeasingWorld()
  on.vault.away = 'AccessDenied'
  const { shim, ended } = on.begin(t, on.open())
  t.is((await ended)?.reason, 'AccessDenied')
  t.is(on.vault.releases, 0)
  t.is(shim.heard.filter(({ contents }) => contents).length, 0)
  const { volumeId } = on.open().open ?? { volumeId: '' }
  await on.begin(t, { farewell: { volumeId, bookmark: bookmarkOf(shim) } }).ended
  t.is(on.vault.releases, 1)
})

test('a lease that has to be replaced reaches the pod as one change', async (t) => {
  const on = new LeasingWorld()
  on.vault.isRenewable = false
  const { shim } = await opened(t, on)
  await on.clock.advance(45_000)
  const next = await shim.generation(2)
  t.is(next.text, 'user=u-2')
  t.deepEqual([...on.vault.users], ['u-1', 'u-2'])
  shim.commit(2)
  shim.say({ unmounted: {} })
  await until(() => on.vault.users.size === 0, { what: 'both to be given back' })
})

test('a bookmark leaves no byte of a session in what was sent', async (t) => {
  const on = new LeasingWorld()
  const { shim } = await opened(t, on)
  const bytes = bookmarkOf(shim)
  t.true(bytes.includes('session-1'), 'the shim has it')
  const farewell = { volumeId: 'any', bookmark: bytes }
  await on.begin(t, { farewell }).ended
  t.false(bytes.includes('session-1'), 'read and zeroed')
})

test('a farewell for the last volume of an account lets its memory be released', async (t) => {
  const on = new LeasingWorld()
  let gone = 0
  const sessions = new Sessions(on.clock, on.budget, { accountGone: () => void (gone += 1) })
  Object.assign(on.leasing, { sessions })
  const { shim, ended } = await opened(t, on, undefined, sessions)
  const { volumeId } = sessions.list()[0]?.session.volume ?? { volumeId: '' }
  shim.hangUp()
  await ended
  t.is(gone, 0)
  await on.begin(t, { farewell: { volumeId, bookmark: bookmarkOf(shim) } }).ended
  t.is(gone, 1)
})

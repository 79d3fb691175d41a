import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { readBookmark, writeBookmark } from '../../../src/daemon/refresh/bookmark.ts'
import { Holdings } from '../../../src/daemon/refresh/holdings.ts'
import { until } from '../../support/until.ts'
import { itemOf, textsOf } from '../sources/values.ts'
import { workloadOf } from '../sources/workloads.ts'
import { HoldingsWorld, ITEMS, LIFE_MS, signal } from './holdings-world.ts'

test('where no source keeps sessions there is nothing to hold', (t) => {
  const on = new HoldingsWorld()
  t.is(Holdings.open(workloadOf(), [itemOf()], on.parts, undefined), undefined)
})

test('a leased secret is asked for once, however often the volume is collected', async (t) => {
  const on = new HoldingsWorld()
  const holdings = on.open()
  t.false(holdings.covers(ITEMS))
  t.is(await on.user(holdings), 'u-1')
  t.is(await on.user(holdings), 'u-1')
  t.true(holdings.covers(ITEMS))
  t.is(on.source.fetches, 1)
})

test('a secret without an end is asked for each time, and leases nothing', async (t) => {
  const on = new HoldingsWorld()
  on.source.endless.add('database/creds/shop')
  const holdings = on.open()
  await on.user(holdings)
  await on.user(holdings)
  t.is(on.source.fetches, 2)
  t.true(holdings.covers(ITEMS))
})

test('a lease is prolonged at two thirds of its life, again and again', async (t) => {
  const on = new HoldingsWorld()
  const holdings = on.open()
  await on.user(holdings)
  await on.clock.advance((LIFE_MS * 2) / 3 - 1_000)
  t.deepEqual(on.source.renewals, [])
  for (let round = 1; round <= 5; round += 1) {
    await on.clock.advance((LIFE_MS * 2) / 3)
    await until(() => on.source.renewals.length === round, { what: `renewal ${round}` })
  }
  t.is(on.dues, 0)
  t.is(await on.user(holdings), 'u-1')
})

test('a lease near the longest life it may have is replaced in time, and the old one kept until the end', async (t) => {
  const on = new HoldingsWorld()
  const holdings = on.open()
  await on.user(holdings)
  on.source.renewedMs = LIFE_MS / 4
  await on.clock.advance((LIFE_MS * 2) / 3 + 1_000)
  await until(() => on.dues > 0, { what: 'the volume to be due' })
  t.is(await on.user(holdings), 'u-2')
  t.deepEqual([...on.source.users], ['u-1', 'u-2'])
  await holdings.giveBack(signal)
  t.deepEqual([...on.source.users], [])
})

test('what cannot be renewed is replaced at two thirds of its life', async (t) => {
  const on = new HoldingsWorld()
  on.source.isRenewable = false
  const holdings = on.open()
  await on.user(holdings)
  await on.clock.advance((LIFE_MS * 2) / 3 + 1_000)
  await until(() => on.dues > 0, { what: 'the volume to be due' })
  t.deepEqual(on.source.renewals, [])
  t.is(await on.user(holdings), 'u-2')
})

test('a lease that the source has ended is replaced', async (t) => {
  const on = new HoldingsWorld()
  const holdings = on.open()
  await on.user(holdings)
  on.source.users.clear()
  await on.clock.advance((LIFE_MS * 2) / 3 + 1_000)
  await until(() => on.dues > 0, { what: 'the volume to be due' })
  t.is(await on.user(holdings), 'u-2')
})

test('while the source is away the secret is served as long as it lives, as stale', async (t) => {
  const on = new HoldingsWorld()
  on.source.isRenewable = false
  const holdings = on.open()
  await on.user(holdings)
  await on.clock.advance((LIFE_MS * 2) / 3 + 1_000)
  await until(() => on.dues > 0, { what: 'the volume to be due' })
  on.source.away = 'SourceUnavailable'
  const through = holdings.through(on.fetching)
  const served = await through.fetch(workloadOf(), 'vault', 'database/creds/shop', signal)
  t.is(textsOf(served)['user'], 'u-1')
  t.is(served.stale?.reason, 'SourceUnavailable')
  await on.clock.advance(LIFE_MS)
  const gone = through.fetch(workloadOf(), 'vault', 'database/creds/shop', signal)
  t.is((await t.throwsAsync(gone, { instanceOf: LatchkeyError })).reason, 'SourceUnavailable')
})

test('a renewal that fails in passing is tried again', async (t) => {
  const on = new HoldingsWorld()
  const holdings = on.open()
  await on.user(holdings)
  on.source.away = 'SourceUnavailable'
  await on.clock.advance((LIFE_MS * 2) / 3 + 1_000)
  await until(() => on.source.renewals.length >= 1, { what: 'the first tries' })
  on.source.away = undefined
  const failed = on.source.renewals.length
  await on.clock.advance(5_000)
  await until(() => on.source.renewals.length === failed + 1, { what: 'one that goes well' })
  await on.clock.advance(20_000)
  t.is(on.source.renewals.length, failed + 1)
  t.is(on.dues, 0)
})

test('a new login has leases of the older one replaced before they end', async (t) => {
  const on = new HoldingsWorld()
  const holdings = on.open()
  await on.user(holdings)
  on.source.onReplaced('r', on.clock.now() + 20_000)
  await on.clock.advance(10_000)
  await until(() => on.dues > 0, { what: 'the volume to be due' })
  t.is(await on.user(holdings), 'u-2')
})

test('a restarted daemon goes on with the bookmark: same session, same lease, nothing minted', async (t) => {
  const on = new HoldingsWorld()
  const before = on.open()
  await on.user(before)
  const bookmark = on.bookmark(before)
  before.drop()
  const after = on.open(bookmark)
  t.deepEqual(on.source.resumed, ['session-1'])
  t.is(await on.user(after), 'u-1')
  t.is(on.source.fetches, 1)
  await on.clock.advance(5_000)
  await until(() => on.source.renewals.length === 1, { what: 'its lease to be looked after' })
  await after.giveBack(signal)
  t.deepEqual([...on.source.users], [])
})

test('after a death in the midst of asking all is leased anew, and what may be lost ends once the pod sees that', async (t) => {
  const on = new HoldingsWorld()
  const before = on.open()
  await on.user(before)
  const bookmark = on.bookmark(before, true)
  before.drop()
  const after = on.open(bookmark)
  t.deepEqual(on.source.doubted, ['session-1'])
  t.false(after.covers(ITEMS))
  after.settle()
  t.is(on.source.settled, 0)
  t.is(await on.user(after), 'u-2')
  after.settle()
  t.is(on.source.settled, 1)
})

test('what is to be asked for anew is so after a restart, too', async (t) => {
  const on = new HoldingsWorld()
  on.source.isRenewable = false
  const before = on.open()
  await on.user(before)
  await on.clock.advance(LIFE_MS - 1_000)
  await until(() => on.dues > 0, { what: 'the volume to be due' })
  const bookmark = on.bookmark(before)
  t.false(on.open(bookmark).covers(ITEMS))
})

test('an answer that was lost puts into doubt what is leased beside it, once nothing is asked for any more', async (t) => {
  const on = new HoldingsWorld()
  const holdings = on.open()
  on.source.away = 'Timeout'
  await t.throwsAsync(on.user(holdings))
  t.deepEqual(on.source.doubts, [])
  holdings.doubtUnheard()
  t.deepEqual(on.source.doubts, [['database/creds/shop', false]])
  on.source.away = 'AccessDenied'
  await t.throwsAsync(on.user(holdings))
  holdings.doubtUnheard()
  t.is(on.source.doubts.length, 1, 'a refusal is an answer')
})

test('a bookmark of another account is not used', async (t) => {
  const on = new HoldingsWorld()
  const before = on.open()
  await on.user(before)
  const read = readBookmark(on.bookmark(before))
  if (read === undefined) throw new Error('no bookmark')
  const foreign = { ...read, account: { ...read.account, serviceAccountUid: 'another' } }
  Holdings.open(workloadOf(), ITEMS, on.parts, foreign)
  t.deepEqual(on.source.resumed, [])
})

test('what the volume does not name any more is given back with it', async (t) => {
  const on = new HoldingsWorld()
  const before = on.open()
  await on.user(before)
  const bookmark = on.bookmark(before)
  before.drop()
  const after = on.open(bookmark, [itemOf({ from: 'vault', secret: 'other' })])
  await after.giveBack(signal)
  t.deepEqual([...on.source.users], [])
})

test('a farewell gives back what the bookmark names', async (t) => {
  const on = new HoldingsWorld()
  const before = on.open()
  await on.user(before)
  const read = readBookmark(on.bookmark(before))
  before.drop()
  if (read === undefined) throw new Error('no bookmark')
  await Holdings.forFarewell(read, on.parts).giveBack(signal)
  t.deepEqual([...on.source.users], [])
  t.is(on.source.releases, 1)
})

for (const away of ['SourceUnavailable', 'Timeout'] as const) {
  test(`a source that says ${away} has taken nothing back, and the shim is told so`, async (t) => {
    const on = new HoldingsWorld()
    const holdings = on.open()
    await on.user(holdings)
    on.source.away = away
    on.source.isAcknowledging = false
    await t.throwsAsync(holdings.giveBack(signal), { instanceOf: LatchkeyError })
  })
}

for (const reason of ['AccessDenied', 'InvalidRequest', 'TokenMissing'] as const) {
  test(`a lease that cannot be given back for ${reason} does not keep the shim coming`, async (t) => {
    const on = new HoldingsWorld()
    const holdings = on.open()
    await on.user(holdings)
    on.source.away = reason
    await t.notThrowsAsync(holdings.giveBack(signal))
    t.is(on.source.releases, 1)
  })
}

test('dropping gives nothing back, and only with the last who serves the volume', async (t) => {
  const on = new HoldingsWorld()
  const holdings = on.open()
  holdings.join()
  await on.user(holdings)
  holdings.drop()
  t.is(on.source.drops, 0)
  t.is(await on.user(holdings), 'u-1')
  holdings.drop()
  t.is(on.source.drops, 1)
  t.deepEqual([...on.source.users], ['u-1'])
})

test('a shim is left a bookmark only where it differs from the last', async (t) => {
  const on = new HoldingsWorld()
  const holdings = on.open()
  t.not(holdings.bookmarkFor(on.shim, true), undefined)
  t.is(holdings.bookmarkFor(on.shim, true), undefined)
  await on.user(holdings)
  t.not(holdings.bookmarkFor(on.shim, false), undefined)
  t.is(holdings.bookmarkFor(on.shim, false), undefined)
  t.not(holdings.bookmarkFor({}, false), undefined, 'another shim has none yet')
})

test('what was too much for a bookmark is shown all the same: nothing ends before the pod sees the next', async (t) => {
  const on = new HoldingsWorld()
  const before = on.open()
  await on.user(before)
  const full = readBookmark(on.bookmark(before, true))
  before.drop()
  if (full === undefined) throw new Error('no bookmark')
  // As it is written where the values would not fit.
  const thin = writeBookmark({ ...full, held: [], replaced: full.held })
  on.open(thin.use((bytes) => Buffer.from(bytes)))
  t.deepEqual(on.source.doubted, ['session-1'])
  t.true(on.source.isShown)
})

test('a bookmark that nobody can read is none', (t) => {
  for (const bytes of ['', '\xff\xff\xff', 'not a bookmark at all']) {
    t.is(readBookmark(Buffer.from(bytes, 'latin1')), undefined, bytes)
  }
})

test('a bookmark tells whether something more may have been leased', (t) => {
  const on = new HoldingsWorld()
  const holdings = on.open()
  t.true(readBookmark(on.bookmark(holdings, true))?.isAsking)
  t.false(readBookmark(on.bookmark(holdings, false))?.isAsking)
})

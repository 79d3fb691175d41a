import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import type { Source } from '../../../src/daemon/sources/source.ts'
import { EXPIRES_AT_MS, tokenOf, workloadOf } from '../sources/workloads.ts'
import { FeedWorld, INTERVAL_MS } from './feed-world.ts'

const FIVE_MINUTES_MS = 5 * 60_000
const HOUR_MS = 60 * 60_000

test('a change is told at once, and what is known already is not', async (t) => {
  const on = new FeedWorld(t)
  const pod = await on.listen('1')
  on.source.last.present('1')
  await on.clock.advance(20)
  t.is(pod.notices, 0)
  on.source.last.present('2')
  await on.clock.advance(0)
  t.deepEqual(pod.noticedAtMs, [20])
  on.source.last.present('3').present('3')
  await on.clock.advance(0)
  t.is(pod.notices, 2)
})

test('a deletion and a return are told', async (t) => {
  const on = new FeedWorld(t)
  const pod = await on.listen('1')
  on.source.last.present('1').deleted('2')
  await on.clock.advance(0)
  t.is(pod.notices, 1)
  on.source.last.present('3')
  await on.clock.advance(0)
  t.is(pod.notices, 2)
})

test('a change between the fetch and the watch is not lost', async (t) => {
  const on = new FeedWorld(t)
  const pod = await on.listen('1')
  on.source.last.present('2')
  await on.clock.advance(0)
  t.is(pod.notices, 1)
})

test('a change while no watch is open is not lost', async (t) => {
  const on = new FeedWorld(t)
  const pod = await on.listen('1')
  on.source.last.present('1')
  await on.clock.advance(FIVE_MINUTES_MS)
  on.source.last.end()
  await on.clock.advance(1_000)
  t.is(on.source.opened.length, 2)
  t.is(pod.notices, 0)
  on.source.last.present('2')
  await on.clock.advance(0)
  t.is(pod.notices, 1)
})

test('a deletion while no watch is open is not lost', async (t) => {
  const on = new FeedWorld(t)
  const pod = await on.listen('1')
  on.source.last.present('1')
  await on.clock.advance(FIVE_MINUTES_MS)
  on.source.last.end()
  await on.clock.advance(12_000)
  t.is(pod.notices, 0)
  await on.clock.advance(1_000)
  t.is(pod.notices, 1)
  on.source.last.present('5')
  await on.clock.advance(0)
  t.is(pod.notices, 2, 'and it came back')
})

test('a secret that is not there and stays away is no news', async (t) => {
  const on = new FeedWorld(t)
  const pod = await on.listen(undefined)
  for (let watch = 0; watch < 10; watch += 1) {
    await on.clock.advance(FIVE_MINUTES_MS)
    on.source.last.end()
  }
  await on.clock.advance(1_000)
  t.is(pod.notices, 0)
  on.source.last.present('1')
  await on.clock.advance(0)
  t.is(pod.notices, 1)
})

test('a watch that ends after its time is opened again within a second', async (t) => {
  const on = new FeedWorld(t)
  await on.listen('1')
  for (let watch = 1; watch <= 12; watch += 1) {
    on.source.last.present('1')
    await on.clock.advance(FIVE_MINUTES_MS)
    t.is(on.source.opened.length, watch)
    on.source.last.end()
    await on.clock.advance(1_000)
    t.is(on.source.opened.length, watch + 1)
  }
})

for (const [random, afterMs] of [
  [() => 0, 50],
  [() => 0.999_999, 950],
] as const) {
  test(`when a watch is opened again after its time is left to chance: ${afterMs} ms at an extreme`, async (t) => {
    const on = new FeedWorld(t, random)
    await on.listen('1')
    on.source.last.present('1')
    await on.clock.advance(FIVE_MINUTES_MS)
    on.source.last.end()
    await on.clock.advance(afterMs - 1)
    t.is(on.source.opened.length, 1)
    await on.clock.advance(1)
    t.is(on.source.opened.length, 2)
  })
}

test('a look is not held up by a server that is slow to refuse a watch', async (t) => {
  const on = new FeedWorld(t)
  on.refuse('AccessDenied')
  const pod = await on.listen('1', { intervalMs: 1_000 })
  on.source.onOpen = () => undefined
  await on.clock.advance(10 * 60_000)
  t.is(on.source.open, 1, 'one that has said nothing yet')
  const before = pod.notices
  await on.clock.advance(5_000)
  t.is(pod.notices, before + 5)
  on.source.last.present('1')
  await on.clock.advance(20_000)
  t.is(pod.notices, before + 5, 'now it tells')
  on.source.last.fail(new LatchkeyError('AccessDenied', 'not any more'))
  await on.clock.advance(1_000)
  t.true(pod.notices > before + 5)
})

test('what looks have shown is not forgotten by a watch that begins in silence', async (t) => {
  const on = new FeedWorld(t)
  on.refuse('AccessDenied')
  // It was not there, has been read since, and is gone again once watching is allowed.
  const pod = await on.listen(undefined)
  on.source.onOpen = () => undefined
  await on.clock.advance(10 * 60_000)
  const before = pod.notices
  await on.clock.advance(30_000)
  t.is(pod.notices, before + 1)
  await on.clock.advance(4 * 60_000)
  t.is(pod.notices, before + 1, 'and then silence is believed')
})

for (const [what, say] of [
  ['end without a word', (watch) => watch.end()],
  ['tell what is known and end', (watch) => watch.present('1').end()],
  ['break', (watch) => watch.fail(new LatchkeyError('KubeUnavailable', 'gone'))],
  ['are too many', (watch) => watch.fail(new LatchkeyError('Overloaded', 'too many'))],
  ['break in a way nobody foresaw', (watch) => watch.fail(new TypeError('no'))],
] as const satisfies readonly (readonly [string, FeedWorld['source']['onOpen']])[]) {
  test(`watches that ${what} are never opened in a hot loop, and looks go on beside them`, async (t) => {
    const on = new FeedWorld(t)
    on.source.onOpen = say
    const pod = await on.listen('1')
    await on.clock.advance(10_000)
    t.true(on.source.opened.length <= 6, `${on.source.opened.length} in the first ten seconds`)
    await on.clock.advance(HOUR_MS - 10_000)
    // Three quarters of 30 s apart, as there is no chance in this jitter.
    t.true(on.source.opened.length > 100, `${on.source.opened.length} in an hour`)
    t.true(on.source.opened.length < 175, `${on.source.opened.length} in an hour`)
    const looks = HOUR_MS / INTERVAL_MS
    t.true(Math.abs(pod.notices - looks) <= 2, `${pod.notices} looks in an hour`)
  })
}

test('a watch that works again ends the looks', async (t) => {
  const on = new FeedWorld(t)
  on.source.onOpen = (watch) => watch.end()
  const pod = await on.listen('1')
  await on.clock.advance(INTERVAL_MS + 5_000)
  t.is(pod.notices, 1)
  on.source.onOpen = (watch) => watch.present('2')
  await on.clock.advance(30_000)
  t.is(pod.notices, 2)
  for (let watch = 0; watch < 3; watch += 1) {
    await on.clock.advance(FIVE_MINUTES_MS)
    on.source.last.end()
    await on.clock.advance(1_000)
    t.is(on.source.open, 1)
    t.is(pod.notices, 2)
  }
  on.refuse('AccessDenied')
  on.source.last.end()
  await on.clock.advance(INTERVAL_MS - 1_000)
  t.is(pod.notices, 2, 'the next look is an interval away')
  await on.clock.advance(2_000)
  t.is(pod.notices, 3)
})

test('a server that has news each time and then ends is followed without a hot loop', async (t) => {
  const on = new FeedWorld(t)
  let version = 1
  on.source.onOpen = (watch) => watch.present(String((version += 1))).end()
  const pod = await on.listen('1')
  await on.clock.advance(60_000)
  t.is(pod.notices, on.source.opened.length)
  t.true(on.source.opened.length <= 60_000 / 375 + 1)
  t.true(on.source.opened.length > 100, 'nor is it slowed down, for it has news')
})

test('a pod that may not watch is told to look at the interval, and watching is tried again seldom', async (t) => {
  const on = new FeedWorld(t)
  on.refuse('AccessDenied')
  const pod = await on.listen('1')
  t.is(on.source.opened.length, 1)
  await on.clock.advance(3 * INTERVAL_MS)
  t.deepEqual(pod.noticedAtMs, [60_000, 120_000, 180_000])
  t.is(on.source.opened.length, 1)
  await on.clock.advance(HOUR_MS - 3 * INTERVAL_MS)
  t.is(on.source.opened.length, 7, 'every ten minutes')
  t.is(pod.notices, 60)
})

test('a pod that was granted to watch meanwhile is told of changes at once', async (t) => {
  const on = new FeedWorld(t)
  on.refuse('AccessDenied')
  const pod = await on.listen('1')
  on.source.onOpen = () => undefined
  await on.clock.advance(10 * 60_000)
  t.is(on.source.open, 1)
  const before = pod.notices
  on.source.last.present('1')
  await on.clock.advance(FIVE_MINUTES_MS)
  t.is(pod.notices, before, 'no look at the interval any more')
  on.source.last.present('2')
  await on.clock.advance(0)
  t.is(pod.notices, before + 1)
})

test('a right to watch that was taken away shows when the watch is opened again', async (t) => {
  const on = new FeedWorld(t)
  const pod = await on.listen('1')
  on.source.last.present('1')
  await on.clock.advance(FIVE_MINUTES_MS)
  on.refuse('AccessDenied')
  on.source.last.end()
  await on.clock.advance(1_000 + INTERVAL_MS)
  t.is(pod.notices, 1)
})

test('a source that cannot tell of changes is asked at the interval', async (t) => {
  const on = new FeedWorld(t)
  const fetch: Source['fetch'] = () => on.source.fetch()
  const pod = await on.listen('1', { source: { name: 'vault-prod', audience: 'vault', fetch } })
  await on.clock.advance(10 * INTERVAL_MS)
  t.is(pod.notices, 10)
})

for (const [random, firstMs] of [
  [() => 0, 54_000],
  [() => 0.999_999, 66_000],
] as const) {
  test(`the interval is jittered by a tenth: ${firstMs / 1000} s at an extreme`, async (t) => {
    const on = new FeedWorld(t, random)
    on.refuse('AccessDenied')
    const pod = await on.listen('1')
    await on.clock.advance(firstMs - 1)
    t.is(pod.notices, 0)
    await on.clock.advance(1)
    t.is(pod.notices, 1)
  })
}

test('each is told to look at its own interval, and those of one interval together', async (t) => {
  const on = new FeedWorld(t)
  on.refuse('AccessDenied')
  const usual = await on.listen('1')
  const often = await on.listen('1', { intervalMs: 20_000 })
  await on.clock.advance(7_000)
  const alsoOften = await on.listen('1', { intervalMs: 20_000 })
  const seldom = await on.listen('1', { intervalMs: 90_000 })
  await on.clock.advance(2 * INTERVAL_MS - 7_000)
  t.deepEqual(usual.noticedAtMs, [60_000, 120_000])
  t.deepEqual(often.noticedAtMs, [20_000, 40_000, 60_000, 80_000, 100_000, 120_000])
  t.deepEqual(alsoOften.noticedAtMs, often.noticedAtMs)
  t.deepEqual(seldom.noticedAtMs, [97_000])
  often.stop()
  alsoOften.stop()
  await on.clock.advance(30_000)
  const late = await on.listen('1', { intervalMs: 20_000 })
  await on.clock.advance(20_000)
  t.deepEqual(late.noticedAtMs, [170_000], 'a time that was set for others is not kept')
  t.is(often.notices, 6)
})

test('who is in a hurry at a shorter interval than the usual hurry looks at that', async (t) => {
  const on = new FeedWorld(t)
  on.refuse('AccessDenied')
  const waiting = await on.listen(undefined, { isUrgent: true, intervalMs: 1_000 })
  await on.clock.advance(5_000)
  t.is(waiting.notices, 5)
})

test('who waits for a secret is told to look every few seconds where it may not watch', async (t) => {
  const on = new FeedWorld(t)
  on.refuse('AccessDenied')
  const waiting = await on.listen(undefined, { isUrgent: true })
  await on.clock.advance(50_000)
  t.is(waiting.notices, 12)
})

test('who waits does not make the others look more often, nor waits for their turn', async (t) => {
  const on = new FeedWorld(t)
  on.refuse('AccessDenied')
  const calm = await on.listen('1')
  await on.clock.advance(10_000)
  const waiting = await on.listen(undefined, { isUrgent: true })
  t.is(waiting.notices, 1, 'the feed has seen more than it')
  await on.clock.advance(16_000)
  t.deepEqual(waiting.noticedAtMs.slice(1), [14_000, 18_000, 22_000, 26_000])
  waiting.stop()
  await on.clock.advance(34_000)
  t.deepEqual(calm.noticedAtMs, [60_000])
})

test('who waits is told at once by a watch, however many they are', async (t) => {
  const on = new FeedWorld(t)
  const waiting = []
  for (let pod = 0; pod < 100; pod += 1) {
    waiting.push(await on.listen(undefined, { isUrgent: true }))
  }
  t.is(on.source.opened.length, 1)
  await on.clock.advance(30_000)
  on.source.last.present('1')
  await on.clock.advance(0)
  t.true(waiting.every(({ noticedAtMs }) => noticedAtMs.join() === '30000'))
})

test('a watch is opened again with the newest tokens of those who still live', async (t) => {
  const on = new FeedWorld(t)
  const first = await on.listen('1', { as: workloadOf({ token: 'a' }) })
  const second = await on.listen('1', { as: workloadOf({ token: 'b' }) })
  t.is(tokenOf(on.source.last.workload), 'a')
  first.stop()
  second.workload = workloadOf({ token: 'b2', expiresAtMs: EXPIRES_AT_MS + 1 })
  await on.listen('1', { as: workloadOf({ token: 'c' }) })
  await on.clock.advance(FIVE_MINUTES_MS)
  on.source.last.end()
  await on.clock.advance(1_000)
  t.is(tokenOf(on.source.last.workload), 'b2')
})

test('a rejected token is left aside for that of another pod', async (t) => {
  const on = new FeedWorld(t)
  on.source.onOpen = (watch) => {
    if (tokenOf(watch.workload) !== 'alive') {
      watch.fail(new LatchkeyError('TokenRejected', 'the pod has ended'))
    }
  }
  const ended = workloadOf({ token: 'ended', expiresAtMs: EXPIRES_AT_MS + 1 })
  await on.listen('1', { as: ended })
  const pod = await on.listen('1', { as: workloadOf({ token: 'alive' }) })
  await on.clock.advance(INTERVAL_MS + 5_000)
  t.deepEqual(
    on.source.opened.map(({ workload }) => tokenOf(workload)),
    ['ended', 'alive'],
  )
  on.source.last.present('2')
  await on.clock.advance(0)
  t.is(pod.noticedAtMs.at(-1), on.nowMs)
})

test('with every token rejected, looks go on and newer tokens are taken up', async (t) => {
  const on = new FeedWorld(t)
  on.refuse('TokenRejected')
  const pod = await on.listen('1')
  await on.clock.advance(HOUR_MS)
  t.true(on.source.opened.length <= 62, `${on.source.opened.length} watches in an hour`)
  t.true(pod.notices >= 58, `${pod.notices} looks in an hour`)
  on.source.onOpen = () => undefined
  pod.workload = workloadOf({ token: 'newer' })
  await on.clock.advance(INTERVAL_MS)
  t.is(tokenOf(on.source.last.workload), 'newer')
  t.is(on.source.open, 1)
})

test('tokens that were rejected in passing are tried again, one after the other', async (t) => {
  const on = new FeedWorld(t)
  on.refuse('TokenRejected')
  const newest = workloadOf({ token: 'newest', expiresAtMs: EXPIRES_AT_MS + 1 })
  await on.listen('1', { as: newest })
  await on.listen('1', { as: workloadOf({ token: 'other' }) })
  await on.clock.advance(10 * INTERVAL_MS)
  on.source.onOpen = (watch) => {
    if (watch.workload === newest) watch.fail(new LatchkeyError('TokenRejected', 'as told'))
  }
  await on.clock.advance(2 * INTERVAL_MS)
  t.is(tokenOf(on.source.last.workload), 'other')
  t.is(on.source.open, 1)
})

test('who joins a feed that knows more is told to look', async (t) => {
  const on = new FeedWorld(t)
  await on.listen('1')
  on.source.last.present('2')
  await on.clock.advance(0)
  t.is((await on.listen('1')).notices, 1)
  t.is((await on.listen('2')).notices, 0)
})

for (const [what, refusal] of [
  ['watching', undefined],
  ['waiting after a watch', 'KubeUnavailable'],
  ['waiting for the next look', 'AccessDenied'],
] as const) {
  test(`the last one to leave ends everything while ${what}`, async (t) => {
    const on = new FeedWorld(t)
    if (refusal !== undefined) on.refuse(refusal)
    const one = await on.listen('1')
    const two = await on.listen('1')
    one.stop()
    one.stop()
    await on.clock.advance(0)
    t.true(on.clock.pending > 0, 'the other one still listens')
    t.is(on.feeds.size, 1)
    two.stop()
    await on.clock.advance(0)
    const opened = on.source.opened.length
    t.is(on.clock.pending, 0)
    t.is(on.source.open, 0)
    t.is(on.feeds.size, 0)
    const notices = two.notices
    await on.clock.advance(HOUR_MS)
    t.is(on.source.opened.length, opened)
    t.is(two.notices, notices)
  })
}

test('who listens again after the last has left gets a feed of its own', async (t) => {
  const on = new FeedWorld(t)
  const one = await on.listen('1')
  one.stop()
  const two = await on.listen('1')
  one.stop()
  t.is(on.feeds.size, 1, 'who leaves twice does not end what is not theirs')
  t.is(on.source.opened.length, 2)
  on.source.last.present('2')
  await on.clock.advance(0)
  t.is(one.notices, 0)
  t.is(two.notices, 1)
})

test('one who leaves on a notice does not keep it from the others', async (t) => {
  const on = new FeedWorld(t)
  const leaving = { stop: (): void => undefined }
  const one = await on.listen('1', {
    onChange: () => {
      leaving.stop()
    },
  })
  leaving.stop = () => {
    one.stop()
  }
  const two = await on.listen('1')
  on.source.last.present('2')
  await on.clock.advance(0)
  t.is(two.notices, 1)
})

import test from 'ava'
import { HOUR_MS, MINUTE_MS, OutageWorld } from './outage-world.ts'

/**
 * A call every two seconds for a namespace, give or take a half of that. Without this bound its hundred volumes
 * would bring about 460 calls in a minute.
 */
const MOST_IN_A_MINUTE = 40
const MOST_IN_A_SECOND = 4

for (const { what, state, mayWatch, volumes, awayMs } of [
  { what: 'refuses', state: 'away', mayWatch: true, volumes: 100, awayMs: HOUR_MS },
  { what: 'never answers', state: 'hangs', mayWatch: true, volumes: 40, awayMs: HOUR_MS / 4 },
  { what: 'refuses looks', state: 'away', mayWatch: false, volumes: 40, awayMs: HOUR_MS / 4 },
] as const) {
  test(`an API server that ${what} for ${awayMs / MINUTE_MS} minutes is asked at a bounded rate, and all is fresh a minute after`, async (t) => {
    t.timeout(180_000)
    const on = new OutageWorld(t)
    on.mayWatch = mayWatch
    await on.mount(volumes)
    await on.clock.advance(6 * MINUTE_MS)
    t.deepEqual(on.stale(), [])

    const awayAtMs = on.nowMs
    on.state = state
    on.endWatches()
    await on.clock.advance(awayMs / 2)
    const changed = on.volumes.slice(0, volumes / 2)
    on.change(...changed)
    await on.clock.advance(awayMs / 2)
    const backAtMs = on.nowMs
    t.is(on.stale().length, changed.length, 'what was there stays')
    const calmAtMs = awayAtMs + MINUTE_MS
    const perMinute = on.busiest(MINUTE_MS, calmAtMs, backAtMs)
    const perSecond = on.busiest(1_000, calmAtMs, backAtMs)
    t.true(perMinute <= MOST_IN_A_MINUTE, `${perMinute} calls in a minute`)
    t.true(perSecond <= MOST_IN_A_SECOND, `${perSecond} calls in a second`)
    t.true(on.attemptsIn(backAtMs - MINUTE_MS, backAtMs) >= 10, 'and it is asked at all')

    on.state = 'up'
    await on.clock.advance(66_000)
    t.deepEqual(on.stale(), [], 'everything is fresh')
    const inFirstSecond = on.attemptsIn(backAtMs, backAtMs + 1_000)
    t.true(inFirstSecond <= 10, `${inFirstSecond} calls in the first second`)
    const most = on.busiest(1_000, backAtMs, on.nowMs)
    t.true(most <= volumes / 3, `${most} calls in one second after it is back`)

    // And it is noticed by watches again, or by looks.
    on.change(...on.volumes)
    await on.clock.advance(mayWatch ? 1_000 : 66_000)
    t.deepEqual(on.stale(), [])
  })
}

test('an outage of seconds is over in seconds', async (t) => {
  const on = new OutageWorld(t)
  await on.mount(100)
  await on.clock.advance(MINUTE_MS)
  on.state = 'away'
  on.endWatches()
  on.change(...on.volumes.slice(0, 20))
  await on.clock.advance(5_000)
  on.state = 'up'
  const backAtMs = on.nowMs
  await on.clock.advance(12_000)
  t.deepEqual(on.stale(), [])
  t.is(on.watched.open, 100)
  const most = on.busiest(1_000, backAtMs, on.nowMs)
  t.true(most <= 75, `${most} calls in one second after it is back`)
})

test('an API server that ends every watch at once loses no change, and is not run over', async (t) => {
  const on = new OutageWorld(t)
  await on.mount(100)
  await on.clock.advance(MINUTE_MS)
  const endedAtMs = on.nowMs
  on.endWatches()
  await on.clock.advance(0)
  t.is(on.watched.open, 0)
  const changed = on.volumes.slice(0, 30)
  on.change(...changed)
  await on.clock.advance(3_500)
  t.is(on.watched.open, 100, 'all watch again')
  t.deepEqual(on.stale(), [])
  t.is(on.attemptsIn(endedAtMs, on.nowMs, 'watch'), 100, 'each once')
  t.is(on.attemptsIn(endedAtMs, on.nowMs, 'fetch'), changed.length, 'and only news is fetched')
  const atOnce = on.busiest(100, endedAtMs, on.nowMs)
  t.true(atOnce <= 30, `${atOnce} calls in a tenth of a second`)
  t.true(on.attemptsIn(endedAtMs, endedAtMs + 50) <= 10, 'nor do all come in the first moment')
})

test('watches that end in their time, one after the other for an hour, lose no change', async (t) => {
  t.timeout(120_000)
  const on = new OutageWorld(t)
  await on.mount(20)
  let worstMs = 0
  for (let round = 0; round < 60; round += 1) {
    await on.clock.advance(MINUTE_MS - 2_000)
    const changedAtMs = on.nowMs
    on.change(...on.volumes)
    await on.clock.advance(2_000)
    t.deepEqual(on.stale(), [])
    worstMs = Math.max(worstMs, ...on.volumes.map(({ shownAtMs }) => shownAtMs - changedAtMs))
  }
  t.true(worstMs <= 1_000, `one was noticed after ${worstMs} ms`)
  t.true(on.watched.opened.length >= 20 * 10, 'they did end')
  t.true(on.attemptsIn(0, on.nowMs, 'fetch') === 60 * 20, 'each change was fetched once')
})

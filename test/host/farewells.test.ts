import test, { type ExecutionContext } from 'ava'
import type { LatchkeyError } from '../../src/core/errors.ts'
import { BookmarkRoom } from '../../src/host/bookmark-room.ts'
import { HeldBookmark } from '../../src/host/bookmark.ts'
import { Farewells } from '../../src/host/farewells.ts'
import { createHostMetrics } from '../../src/observability/host-metrics.ts'
import { createLogger } from '../../src/observability/log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { ScriptedDaemon } from '../support/scripted-daemon.ts'
import { farewellWith, figuresOf } from './bookmark-world.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

function world(t: ExecutionContext) {
  const daemon = new ScriptedDaemon()
  const clock = new FakeClock()
  const metrics = createHostMetrics({ version: 'test' })
  const lines: string[] = []
  const write = (line: string): void => {
    lines.push(line)
  }
  const log = createLogger({ level: 'info', side: 'host', write })
  const farewells = new Farewells({ link: daemon, clock, log, metrics })
  t.teardown(() => {
    farewells.stop()
  })
  const room = new BookmarkRoom()
  const add = (text: string, namespace = 'shop'): HeldBookmark => {
    const bookmark = new HeldBookmark(room, () => namespace)
    bookmark.hold(Buffer.from(text))
    farewells.add('csi-1', bookmark)
    return bookmark
  }
  return { daemon, clock, lines, farewells, add, figures: () => figuresOf(metrics) }
}

function isWiped(bookmark: HeldBookmark): boolean {
  return bookmark.isEmpty
}

/** Answers every farewell, also those to come, as a daemon would whose source is away. */
function refuseAll(daemon: ScriptedDaemon): void {
  const mount = daemon.mount.bind(daemon)
  daemon.mount = (signal) => {
    const stream = mount(signal)
    queueMicrotask(() => {
      stream.refuse('SourceUnavailable', 'sealed')
    })
    return stream
  }
}

test('a farewell is done when the daemon ends it without an error, and zeroed then', async (t) => {
  const on = world(t)
  const bookmark = on.add('lease-1')
  t.is((await on.figures()).waiting, 1)
  await on.clock.advance(2_000)
  const stream = await on.daemon.farewell(0)
  t.is(farewellWith(stream), 'lease-1')
  t.false(isWiped(bookmark))
  stream.finish()
  await on.clock.advance(HOUR_MS)
  t.true(isWiped(bookmark))
  t.is(on.daemon.streams.length, 1)
  t.is(on.clock.pending, 0)
  t.deepEqual(await on.figures(), { waiting: 0, done: 1, givenUp: 0 })
})

test('a farewell refused three times is said a fourth time, after longer and longer', async (t) => {
  const on = world(t)
  on.add('lease-1')
  const saidAtMs: number[] = []
  for (const index of [0, 1, 2, 3]) {
    while (on.daemon.farewells.length <= index) await on.clock.advance(100)
    saidAtMs.push(on.clock.now())
    const stream = await on.daemon.farewell(index)
    t.is(farewellWith(stream), 'lease-1')
    if (index === 3) stream.finish()
    else stream.refuse('SourceUnavailable', 'sealed')
  }
  await on.clock.advance(HOUR_MS)
  t.is(on.daemon.streams.length, 4)
  const [first = 0, second = 0, third = 0, fourth = 0] = saidAtMs
  for (const [gapMs, mostMs] of [
    [second - first, 4_000],
    [third - second, 8_000],
    [fourth - third, 16_000],
  ] as const) {
    t.true(gapMs >= mostMs / 2 - 100 && gapMs <= mostMs + 100, `${gapMs} ms of ${mostMs}`)
  }
  t.deepEqual(await on.figures(), { waiting: 0, done: 1, givenUp: 0 })
  t.is(on.lines.filter((line) => line.includes('not accepted')).length, 1)
})

test('a farewell is said again at least once a minute, and given up after an hour', async (t) => {
  const on = world(t)
  refuseAll(on.daemon)
  const bookmark = on.add('lease-1')
  await on.clock.advance(HOUR_MS - 1_000)
  const tries = on.daemon.streams.length
  t.true(tries >= 60 && tries <= 130, `${tries} tries`)
  t.false(isWiped(bookmark))
  await on.clock.advance(1_000)
  t.true(isWiped(bookmark))
  const before = on.daemon.streams.length
  await on.clock.advance(HOUR_MS)
  t.is(on.daemon.streams.length, before)
  t.is(on.clock.pending, 0)
  t.deepEqual(await on.figures(), { waiting: 0, done: 0, givenUp: 1 })
  const line = on.lines.find((one) => one.includes('given up')) ?? ''
  t.true(line.includes('sealed'), line)
})

test('a daemon that is away for half an hour is told when it is back', async (t) => {
  const on = world(t)
  on.daemon.isAway = true
  on.add('lease-1')
  await on.clock.advance(HOUR_MS / 2)
  t.is(on.daemon.farewells.length, 0)
  t.deepEqual(on.lines, [])
  on.daemon.isAway = false
  await on.clock.advance(MINUTE_MS)
  const stream = await on.daemon.farewell(0)
  stream.finish()
  await on.clock.advance(0)
  t.is((await on.figures()).done, 1)
})

test('at most eight are under way at once, and the others follow', async (t) => {
  const on = world(t)
  for (let index = 0; index < 20; index += 1) on.add(`lease-${index}`, `namespace-${index}`)
  await on.clock.advance(2_000)
  t.is(on.daemon.streams.length, 8)
  on.daemon.streams[0]?.finish()
  on.daemon.streams[1]?.refuse('SourceUnavailable', 'sealed')
  await on.clock.advance(0)
  t.is(on.daemon.streams.length, 10)
})

test('a daemon that hangs loses its place after a minute, and is asked again', async (t) => {
  const on = world(t)
  for (let index = 0; index < 9; index += 1) on.add(`lease-${index}`, `namespace-${index}`)
  await on.clock.advance(MINUTE_MS - 1)
  t.is(on.daemon.streams.length, 8)
  await on.clock.advance(2_000)
  t.true(on.daemon.streams.slice(0, 8).every((stream) => stream.isOver))
  t.true(on.daemon.streams.length > 8)
})

test('however many wait none is dropped for another, and together they are held within the room', async (t) => {
  const on = world(t)
  on.daemon.isAway = true
  const all: HeldBookmark[] = []
  const error = t.throws<LatchkeyError>(() => {
    for (;;) all.push(on.add('lease'))
  })
  t.is(error.reason, 'Overloaded')
  t.is(all.length, 1_228)
  t.false(all.some(isWiped))
  t.is((await on.figures()).waiting, 1_228)
  on.daemon.isAway = false
  await on.clock.advance(MINUTE_MS)
  on.daemon.farewells[0]?.finish()
  await on.clock.advance(0)
  t.is(all.filter(isWiped).length, 1)
  t.notThrows(() => on.add('lease'))
})

test('farewells of a namespace whose source hangs leave a place to those of another', async (t) => {
  const on = world(t)
  for (let index = 0; index < 100; index += 1) on.add(`loud-${index}`, 'loud')
  await on.clock.advance(2_000)
  t.is(on.daemon.streams.length, 7)
  on.add('calm', 'calm')
  await on.clock.advance(2_000)
  t.is(on.daemon.streams.length, 8)
  const stream = await on.daemon.farewell(7)
  t.is(farewellWith(stream), 'calm')
})

test('farewells of two namespaces take turns', async (t) => {
  const on = world(t)
  for (let index = 0; index < 100; index += 1) on.add(`loud-${index}`, 'loud')
  for (let index = 0; index < 10; index += 1) on.add(`calm-${index}`, 'calm')
  await on.clock.advance(3_000)
  for (let ended = 0; ended < 24; ended += 1) {
    on.daemon.farewells[ended]?.finish()
    await on.clock.advance(0)
  }
  const heard = on.daemon.farewells.map((stream) => farewellWith(stream) ?? '')
  t.is(heard.filter((name) => name.startsWith('calm')).length, 10)
})

test('a farewell whose hour ends in the midst of a try is given up for what was said last', async (t) => {
  const on = world(t)
  on.daemon.isAway = true
  on.add('lease-1')
  await on.clock.advance(HOUR_MS - MINUTE_MS)
  on.daemon.isAway = false
  await on.clock.advance(MINUTE_MS)
  t.is(on.daemon.farewells.length, 1)
  t.true(on.daemon.farewells[0]?.isOver)
  t.deepEqual(
    on.lines.map((line) => /nobody listens/.test(line) && /given up/.test(line)),
    [true],
  )
})

test('a stop hangs up, zeroes and says how many were left, and nothing comes after it', async (t) => {
  const on = world(t)
  const under = on.add('lease-1')
  await on.clock.advance(2_000)
  const stream = await on.daemon.farewell(0)
  const waiting = on.add('lease-2')
  on.farewells.stop()
  const late = on.add('lease-3')
  t.true(stream.isOver)
  t.deepEqual([under, waiting, late].map(isWiped), [true, true, true])
  await on.clock.advance(2 * HOUR_MS)
  t.is(on.daemon.streams.length, 1)
  t.is(on.clock.pending, 0)
  t.deepEqual(await on.figures(), { waiting: 0, done: 0, givenUp: 0 })
  t.true(on.lines.some((line) => line.includes('"count":2')))
})

test('what a daemon says before it ends a farewell changes nothing', async (t) => {
  const on = world(t)
  const bookmark = on.add('lease-1')
  await on.clock.advance(2_000)
  const stream = await on.daemon.farewell(0)
  stream.bookmark('lease-2')
  stream.contents(1, { password: 'one' })
  await on.clock.advance(1_000)
  t.false(isWiped(bookmark))
  t.is(stream.heard.length, 1)
  stream.refuse('SourceUnavailable', 'sealed')
  await on.clock.advance(5_000)
  t.is(farewellWith(await on.daemon.farewell(1)), 'lease-1')
})

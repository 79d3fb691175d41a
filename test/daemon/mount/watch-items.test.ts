import test, { type ExecutionContext } from 'ava'
import { watchItems } from '../../../src/daemon/mount/watch-items.ts'
import { Feeds } from '../../../src/daemon/refresh/feeds.ts'
import type { Item } from '../../../src/daemon/sources/item.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { ScriptedSource } from '../sources/scripted-source.ts'
import { itemOf } from '../sources/values.ts'
import { workloadOf } from '../sources/workloads.ts'

/** Counts the notices that a volume's items bring about where nothing can be watched. */
function looksOf(t: ExecutionContext, changes: readonly Partial<Item>[]) {
  const clock = new FakeClock()
  const source = new ScriptedSource()
  const feeds = new Feeds({ clock, intervalMs: 60_000, random: () => 0.5 })
  const items = changes.map(itemOf)
  const known = { versions: new Map(), immutable: new Set<never>() }
  const watched = watchItems(
    { items, workload: () => workloadOf(), ...known, isUrgent: false },
    { clock, feeds, sources: new Map([[source.name, source]]) },
  )
  const bornMs = clock.now()
  const atMs: number[] = []
  const ended = new AbortController()
  const following = (async () => {
    while (!ended.signal.aborted) {
      if (await watched.next(3_600_000, ended.signal)) atMs.push(clock.now() - bornMs)
    }
  })().catch(() => undefined)
  t.teardown(async () => {
    watched.stop()
    ended.abort()
    await following
    await clock.advance(0)
    if (clock.pending > 0) throw new Error(`${clock.pending} timers are left`)
    if (feeds.size > 0) throw new Error(`${feeds.size} feeds are left`)
  })
  return { clock, feeds, atMs }
}

test('an item that says nothing is looked at in the configured interval', async (t) => {
  const { clock, atMs } = looksOf(t, [{}])
  await clock.advance(120_000)
  t.deepEqual(atMs, [60_000, 120_000])
})

test('an item is looked at in the interval that it names', async (t) => {
  const { clock, atMs } = looksOf(t, [{ refreshMs: 300_000 }])
  await clock.advance(600_000)
  t.deepEqual(atMs, [300_000, 600_000])
})

test('of several items of one secret the shortest interval counts', async (t) => {
  const { clock, feeds, atMs } = looksOf(t, [
    { key: 'a', refreshMs: 300_000 },
    { key: 'b' },
    { key: 'c', refreshMs: 90_000 },
  ])
  t.is(feeds.size, 1)
  await clock.advance(300_000)
  t.deepEqual(atMs, [90_000, 180_000, 270_000])
})

test('two secrets of one volume are looked at each in its own interval', async (t) => {
  const { clock, atMs } = looksOf(t, [
    { secret: 'a', refreshMs: 50_000 },
    { secret: 'b', refreshMs: 80_000 },
  ])
  await clock.advance(160_000)
  t.deepEqual(atMs, [50_000, 80_000, 100_000, 150_000, 160_000])
})

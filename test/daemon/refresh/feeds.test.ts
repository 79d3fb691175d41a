import test from 'ava'
import { workloadOf } from '../sources/workloads.ts'
import { FeedWorld } from './feed-world.ts'
import { WatchedSource } from './watched-source.ts'

test('pods of one service account share the feed of a secret', async (t) => {
  const on = new FeedWorld(t)
  const one = await on.listen('1')
  const two = await on.listen('1', { as: workloadOf({ podName: 'api-1', token: 'other' }) })
  t.is(on.feeds.size, 1)
  t.is(on.source.opened.length, 1)
  on.source.last.present('2')
  await on.clock.advance(0)
  t.deepEqual([one.notices, two.notices], [1, 1])
})

for (const [what, changes] of [
  ['another secret', { secret: 'other' }],
  ['another namespace', { as: workloadOf({ namespace: 'bank' }) }],
  ['another service account', { as: workloadOf({ serviceAccount: 'web' }) }],
  ['a service account made anew', { as: workloadOf({ serviceAccountUid: 'sa-2' }) }],
] as const) {
  test(`nothing is shared with ${what}`, async (t) => {
    const on = new FeedWorld(t)
    const one = await on.listen('1')
    const two = await on.listen('1', changes)
    t.is(on.feeds.size, 2)
    t.is(on.source.opened.length, 2)
    on.source.last.present('2')
    await on.clock.advance(0)
    t.deepEqual([one.notices, two.notices], [0, 1])
  })
}

test('nothing is shared with another source', async (t) => {
  const on = new FeedWorld(t)
  const other = new WatchedSource('vault-prod')
  await on.listen('1')
  await on.listen('1', { source: other })
  t.is(on.feeds.size, 2)
  t.is(other.opened.length, 1)
})

test('what never changes is neither watched nor asked for', async (t) => {
  const on = new FeedWorld(t)
  const pod = await on.listen('1', { isImmutable: true })
  await on.clock.advance(60 * 60_000)
  t.is(on.source.opened.length, 0)
  t.is(pod.notices, 0)
  t.is(on.feeds.size, 0)
  t.is(on.clock.pending, 0)
  pod.stop()
})

test('one who has an older, unchangeable one does not keep others from listening', async (t) => {
  const on = new FeedWorld(t)
  const old = await on.listen('1', { isImmutable: true })
  const pod = await on.listen('2')
  on.source.last.present('3')
  await on.clock.advance(0)
  t.deepEqual([old.notices, pod.notices], [0, 1])
})

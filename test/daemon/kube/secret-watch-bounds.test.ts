import test from 'ava'
import { FakeClock } from '../../support/fake-clock.ts'
import { until } from '../../support/until.ts'
import type { Answer } from './api-server.ts'
import { assertFails, serve } from './kube-world.ts'
import { JSON_TYPE, drain, eventLine, watch } from './watching.ts'

test('a watch that does not begin is given up', async (t) => {
  const clock = new FakeClock()
  const { client, server } = await serve(t, () => undefined, { clock })
  const events = drain(watch(client))
  await until(() => server.calls.length === 1, { what: 'the call' })
  const refused = assertFails(t, events, 'Timeout', /did not start a watch in time/)
  await clock.advance(10_000)
  await refused
  t.is(clock.pending, 0)
})

test('a watch that falls silent ends quietly, and bookmarks keep it alive', async (t) => {
  const clock = new FakeClock()
  let held: Answer | undefined
  const { client } = await serve(
    t,
    (_call, answer) => {
      held = answer
      answer.start(200, JSON_TYPE)
      answer.write(eventLine('ADDED', '1'))
    },
    { clock, limits: { watchSilenceMs: 100_000 } },
  )
  const events = watch(client)[Symbol.asyncIterator]()
  await events.next()
  const next = events.next()
  await clock.advance(90_000)
  held?.write(eventLine('BOOKMARK', '2') + eventLine('MODIFIED', '3'))
  t.deepEqual((await next).value, { type: 'present', resourceVersion: '3' })
  // The reader may take its time: what it does is no silence of the API server.
  await clock.advance(150_000)
  held?.write(eventLine('MODIFIED', '4'))
  t.deepEqual((await events.next()).value, { type: 'present', resourceVersion: '4' })
  const last = events.next()
  await clock.advance(100_000)
  t.true((await last).done)
  await until(() => held?.gone() === true, { what: 'the server to notice' })
  t.is(clock.pending, 0)
})

test('a watch that the API server forgets to end is ended here', async (t) => {
  const clock = new FakeClock()
  let held: Answer | undefined
  const { client } = await serve(
    t,
    (_call, answer) => {
      held = answer
      answer.start(200, JSON_TYPE)
      answer.write(eventLine('ADDED', '1'))
    },
    { clock, limits: { watchLifetimeMs: 300_000, watchSilenceMs: 1_000_000 } },
  )
  const events = watch(client)[Symbol.asyncIterator]()
  await events.next()
  const last = events.next()
  await clock.advance(329_000)
  t.false(held?.gone())
  await clock.advance(1_000)
  t.true((await last).done)
  t.is(clock.pending, 0)
})

test('only so many watches at once, and an ended one makes room', async (t) => {
  const { client } = await serve(
    t,
    (_call, answer) => {
      answer.start(200, JSON_TYPE)
      answer.write(eventLine('ADDED', '1'))
    },
    { limits: { maxWatches: 2 } },
  )
  const first = watch(client)[Symbol.asyncIterator]()
  const second = watch(client)[Symbol.asyncIterator]()
  await Promise.all([first.next(), second.next()])
  await assertFails(t, drain(watch(client)), 'Overloaded', /too many watches/)
  await first.return?.()
  const third = watch(client)[Symbol.asyncIterator]()
  t.false((await third.next()).done)
  await Promise.all([second.return?.(), third.return?.()])
})

import test from 'ava'
import { GarbageRelease } from '../../src/core/garbage-release.ts'
import { FakeClock } from '../support/fake-clock.ts'

function world(release = () => Promise.resolve()) {
  const clock = new FakeClock()
  const atMs: number[] = []
  const errors: unknown[] = []
  const startedMs = clock.now()
  const garbage = new GarbageRelease({
    clock,
    release() {
      atMs.push(clock.now() - startedMs)
      return release()
    },
    onError(thrown) {
      errors.push(thrown)
    },
  })
  return { clock, atMs, errors, garbage }
}

test('pods that leave together have garbage released once, when they have left', async (t) => {
  const { clock, atMs, garbage } = world()
  for (let pod = 0; pod < 10; pod += 1) garbage.schedule()
  t.deepEqual(atMs, [])
  await clock.advance(3_600_000)
  t.deepEqual(atMs, [5_000])
})

test('pods that leave one after the other have it released once a minute, and the last one too', async (t) => {
  const { clock, atMs, garbage } = world()
  for (let second = 0; second < 100; second += 1) {
    garbage.schedule()
    await clock.advance(1_000)
  }
  await clock.advance(3_600_000)
  t.deepEqual(atMs, [5_000, 65_000, 125_000])
})

test('a clock that was put back makes the next release no later than a minute from now', async (t) => {
  const timers = new FakeClock()
  let backMs = 0
  let released = 0
  const garbage = new GarbageRelease({
    clock: {
      now: () => timers.now() - backMs,
      after: (ms, callback) => timers.after(ms, callback),
    },
    release() {
      released += 1
      return Promise.resolve()
    },
    onError: () => undefined,
  })
  garbage.schedule()
  await timers.advance(5_000)
  backMs = 3_600_000
  garbage.schedule()
  await timers.advance(59_999)
  t.is(released, 1)
  await timers.advance(1)
  t.is(released, 2)
})

test('a release that fails is told, and the next one comes', async (t) => {
  const failure = new Error('no session')
  const { clock, atMs, errors, garbage } = world(() => Promise.reject(failure))
  garbage.schedule()
  await clock.advance(60_000)
  garbage.schedule()
  await clock.advance(60_000)
  t.is(atMs.length, 2)
  t.deepEqual(errors, [failure, failure])
})

test('nothing is left to do after a stop', async (t) => {
  const { clock, atMs, garbage } = world()
  garbage.schedule()
  garbage.stop()
  t.is(clock.pending, 0)
  await clock.advance(60_000)
  t.deepEqual(atMs, [])
})

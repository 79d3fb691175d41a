import test from 'ava'
import { Pace } from '../../../src/daemon/refresh/pace.ts'
import { FakeClock } from '../../support/fake-clock.ts'

test('a few go at once, and all others one after the other', (t) => {
  const pace = new Pace(new FakeClock())
  const delays = Array.from({ length: 250 }, () => pace.takeMs())
  t.deepEqual(delays.slice(0, 12), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 40])
  t.is(delays.at(-1), 240 * 20)
})

test('who comes when all have gone waits for nobody', async (t) => {
  const clock = new FakeClock()
  const pace = new Pace(clock)
  for (let taken = 0; taken < 50; taken += 1) pace.takeMs()
  t.true(pace.takeMs() > 0)
  await clock.advance(60_000)
  const delays = Array.from({ length: 11 }, () => pace.takeMs())
  t.deepEqual(delays, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20])
})

test('nobody waits longer for a crowd, or a clock that was set back, than half a minute', (t) => {
  let nowMs = 3_600_000
  const pace = new Pace({ now: () => nowMs, after: () => () => undefined })
  const delays = Array.from({ length: 5_000 }, () => pace.takeMs())
  t.true(Math.max(...delays) <= 30_000)
  nowMs = 0
  t.true(pace.takeMs() <= 30_000)
})

import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { FeedWorld } from './feed-world.ts'
import { drawsOf } from './outage-world.ts'

const DRAWS = 250

for (const [name, intervalMs, spread] of [
  ['the default of a minute', undefined, 60_000],
  ['1 s', 1_000, 1_000],
  ['7 s', 7_000, 7_000],
  ['5 min', 300_000, 300_000],
] as const) {
  test(`a secret that may only be read is looked at within ${name} and a tenth of any change (${DRAWS} draws)`, async (t) => {
    const draw = drawsOf(7)
    const on = new FeedWorld(t, draw)
    // It also takes the API server its time to say that watching is not allowed.
    on.source.onOpen = (watch) => {
      on.clock.after(9_000, () => watch.fail(new LatchkeyError('AccessDenied', 'forbidden')))
    }
    const pod = await on.listen('1', { intervalMs })
    await on.clock.advance(9_000 + 1.1 * spread)
    const delays: number[] = []
    for (let change = 0; change < DRAWS; change += 1) {
      await on.clock.advance(Math.floor(draw() * 2 * spread))
      const changedAtMs = on.nowMs
      const known = pod.notices
      await on.clock.advance(1.1 * spread)
      const noticedAtMs = pod.noticedAtMs[known] ?? Infinity
      delays.push(noticedAtMs - changedAtMs)
    }
    const worstMs = Math.max(...delays)
    t.true(worstMs <= 1.1 * spread, `one was looked at after ${worstMs} ms`)
    t.true(worstMs > 0.5 * spread, 'which is no feat if it looks all the time')
    t.true(on.source.opened.length < 2 + (on.nowMs / 540_000) * 1.1, 'nor if it watches')
  })
}

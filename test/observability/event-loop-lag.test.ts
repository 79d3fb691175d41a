import test from 'ava'
import { Registry } from 'prom-client'
import { collectProcessMetrics } from '../../src/observability/process-metrics.ts'

const WORDS = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99']

test('before the first look at the event loop its lag is 0, and no figure is missing or no number', async (t) => {
  const register = new Registry()
  collectProcessMetrics(register)
  const page = await register.metrics()
  for (const word of WORDS)
    t.regex(page, new RegExp(`^nodejs_eventloop_lag_${word}_seconds 0$`, 'm'))
})

test('an event loop that stood still is seen, however seldom it is looked at', async (t) => {
  const register = new Registry()
  collectProcessMetrics(register)
  // A look has to come before the stall, for the next to be late.
  await tick(250)
  const untilMs = performance.now() + 450
  while (performance.now() < untilMs);
  await tick(1)
  const [, max = ''] =
    /^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(await register.metrics()) ?? []
  t.true(Number(max) > 0.1, `${max} s of 0.45 s, of which 0.2 s may go unseen`)
})

function tick(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}

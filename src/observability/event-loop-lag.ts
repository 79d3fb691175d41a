import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Gauge, type Registry } from 'prom-client'

/**
 * Between two looks at the event loop. prom-client's own ten milliseconds wake the process a hundred times a
 * second, which is most of what it does on a quiet node; a loop that stands still for longer than this is seen
 * in any case.
 */
const LOOK_EVERY_MS = 200

/** For prom-client's own looks, which it can be given no less of: setTimeout's most. */
export const HARDLY_EVER_MS = 2 ** 31 - 1

type Lag = ReturnType<typeof monitorEventLoopDelay>

const FIGURES: Readonly<Record<string, readonly [string, (lag: Lag) => number]>> = {
  min: ['The minimum recorded event loop delay.', ({ min }) => min],
  max: ['The maximum recorded event loop delay.', ({ max }) => max],
  mean: ['The mean of the recorded event loop delays.', ({ mean }) => mean],
  p50: ['The 50th percentile of the recorded event loop delays.', (lag) => lag.percentile(50)],
  p90: ['The 90th percentile of the recorded event loop delays.', (lag) => lag.percentile(90)],
  p99: ['The 99th percentile of the recorded event loop delays.', (lag) => lag.percentile(99)],
}
const SPREAD = 'nodejs_eventloop_lag_stddev_seconds'

/** prom-client's figures of that name, taken in its place: since the last scrape, and without the time between looks. */
export function collectEventLoopLag(register: Registry): void {
  const lag = monitorEventLoopDelay({ resolution: LOOK_EVERY_MS })
  lag.enable()
  for (const [word, [help, read]] of Object.entries(FIGURES)) {
    const name = `nodejs_eventloop_lag_${word}_seconds`
    register.removeSingleMetric(name)
    new Gauge({
      name,
      help,
      registers: [register],
      collect() {
        this.set(lag.count === 0 ? 0 : Math.max(0, read(lag) / 1e9 - LOOK_EVERY_MS / 1e3))
      },
    })
  }
  register.removeSingleMetric(SPREAD)
  new Gauge({
    name: SPREAD,
    help: 'The standard deviation of the recorded event loop delays.',
    registers: [register],
    collect() {
      this.set(lag.count === 0 ? 0 : lag.stddev / 1e9)
      // The last of them, so that the next scrape has figures of its own.
      lag.reset()
    },
  })
}

import { readdirSync } from 'node:fs'
import { collectDefaultMetrics, Counter, Gauge, type Registry } from 'prom-client'
import { collectEventLoopLag, HARDLY_EVER_MS } from './event-loop-lag.ts'

/** Gauges whose names end in _total, which Prometheus keeps for counters, and what they add up. */
const ACTIVE = ['resources', 'handles', 'requests'].flatMap((what) => [
  `nodejs_active_${what}`,
  `nodejs_active_${what}_total`,
])

/** The usual process_ and nodejs_ figures, under the names that existing dashboards look for. */
export function collectProcessMetrics(register: Registry): void {
  collectDefaultMetrics({ register, eventLoopMonitoringPrecision: HARDLY_EVER_MS })
  for (const name of ACTIVE) register.removeSingleMetric(name)
  collectEventLoopLag(register)
}

/** A few figures of the host side's process, under names that do not meet the daemon's on their common page. */
export function collectHostProcessMetrics(register: Registry): void {
  const registers = [register]
  let countedS = 0
  new Counter({
    name: 'latchkey_host_process_cpu_seconds_total',
    help: 'Processor time of the host side, user and system.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage()
      const usedS = (user + system) / 1e6
      this.inc(usedS - countedS)
      countedS = usedS
    },
  })
  new Gauge({
    name: 'latchkey_host_process_resident_memory_bytes',
    help: 'Memory of the host side itself; the files of volumes are not in it.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss())
    },
  })
  new Gauge({
    name: 'latchkey_host_process_open_fds',
    help: 'File descriptors that the host side holds open.',
    registers,
    collect() {
      this.set(readdirSync('/proc/self/fd').length)
    },
  })
  new Gauge({
    name: 'latchkey_host_process_start_time_seconds',
    help: 'When the host side started, in seconds since the epoch.',
    registers,
  }).set(performance.timeOrigin / 1000)
}

import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Reason } from '../core/errors.ts'

export interface DaemonGauges {
  readonly live: number
  readonly detached: number
  readonly bytes: number
  readonly watches: number
  readonly isShimConnected: boolean
}

/** The daemon's figures. No label carries the name of a secret, pod or namespace. */
export interface DaemonMetrics {
  countMount(reason: Reason | undefined): void
  /** `unchanged` and `changed` are successes. */
  countRefresh(outcome: 'unchanged' | 'changed' | Reason): void
  observeReview(reason: Reason | undefined, durationMs: number): void
  observeFetch(source: string, reason: Reason | undefined, durationMs: number): void
  /** The whole page in Prometheus' text format. */
  text(): Promise<string>
}

const CALL_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

export interface DaemonMetricsOptions {
  readonly version: string
  /** Read at each scrape. */
  readonly gauges?: () => DaemonGauges
}

export function createDaemonMetrics({ version, gauges }: DaemonMetricsOptions): DaemonMetrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const mounts = new Counter({
    name: 'latchkey_mounts_total',
    help: 'Streams of the mount API that have ended, by reason; none is success.',
    labelNames: ['reason'],
    registers,
  })
  const refreshes = new Counter({
    name: 'latchkey_refreshes_total',
    help: 'Looks at the sources of a mounted volume: unchanged, changed, or the reason of the failure.',
    labelNames: ['outcome'],
    registers,
  })
  const reviews = new Histogram({
    name: 'latchkey_token_review_duration_seconds',
    help: 'Time to prove who a pod is, by reason; none is success.',
    labelNames: ['reason'],
    buckets: CALL_BUCKETS_S,
    registers,
  })
  const fetches = new Histogram({
    name: 'latchkey_fetch_duration_seconds',
    help: 'Time to fetch one secret, by source and reason; none is success.',
    labelNames: ['source', 'reason'],
    buckets: CALL_BUCKETS_S,
    registers,
  })
  new Gauge({
    name: 'latchkey_build_info',
    help: 'Version of the daemon; always 1.',
    labelNames: ['version'],
    registers,
  }).set({ version }, 1)
  if (gauges !== undefined) registerGauges(registers, gauges)

  return {
    countMount: (reason) => {
      mounts.inc({ reason: reason ?? 'none' })
    },
    countRefresh: (outcome) => {
      refreshes.inc({ outcome })
    },
    observeReview: (reason, durationMs) => {
      reviews.observe({ reason: reason ?? 'none' }, durationMs / 1000)
    },
    observeFetch: (source, reason, durationMs) => {
      fetches.observe({ source, reason: reason ?? 'none' }, durationMs / 1000)
    },
    text: () => registry.metrics(),
  }
}

function registerGauges(registers: Registry[], gauges: () => DaemonGauges): void {
  new Gauge({
    name: 'latchkey_sessions',
    help: 'Authorised volumes: live (with a stream) and detached (waiting for a Resume).',
    labelNames: ['state'],
    registers,
    collect() {
      this.set({ state: 'live' }, gauges().live)
      this.set({ state: 'detached' }, gauges().detached)
    },
  })
  new Gauge({
    name: 'latchkey_volume_bytes',
    help: 'Bytes of all files of all volumes of this node.',
    registers,
    collect() {
      this.set(gauges().bytes)
    },
  })
  new Gauge({
    name: 'latchkey_watches',
    help: 'Secrets that are being watched or asked for at an interval.',
    registers,
    collect() {
      this.set(gauges().watches)
    },
  })
  new Gauge({
    name: 'latchkey_shim_connected',
    help: 'Whether the host side holds its report stream open.',
    registers,
    collect() {
      this.set(gauges().isShimConnected ? 1 : 0)
    },
  })
}

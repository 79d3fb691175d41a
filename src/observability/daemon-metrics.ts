import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Reason } from '../core/errors.ts'
import { familiesOf, type MetricFamily, type Outcome } from './metric-family.ts'
import { collectProcessMetrics } from './process-metrics.ts'

export type MountStage = 'authenticate' | 'collect' | 'commit'

export type EventOutcome = 'created' | 'dropped' | 'failed'

export interface DaemonGauges {
  readonly live: number
  readonly detached: number
  readonly bytes: number
  readonly watches: number
  readonly isShimConnected: boolean
  /** Of memory, for values kept for when a source is away. */
  readonly lastValuesBytes: number
  /** By VOLUME_STATES. */
  readonly volumes: ReadonlyMap<string, number>
  readonly stalestMs: number
  /** Sessions held, by source; only of sources that keep sessions. */
  readonly sourceSessions: ReadonlyMap<string, number>
}

/** As `latchkey list` shows them. */
export const VOLUME_STATES = ['pending', 'fresh', 'stale', 'waiting', 'ending', 'stranded'] as const

/** The daemon's figures. No label carries the name of a secret, pod or namespace. */
export interface DaemonMetrics {
  /** Answers the function that ends the stage. */
  readonly startStage: (stage: MountStage) => () => void
  /** undefined is success. */
  readonly countMount: (reason: Reason | undefined) => void
  /** `unchanged` and `changed` are successes. */
  readonly countRefresh: (outcome: 'unchanged' | 'changed' | Reason) => void
  readonly observeReview: (reason: Reason | undefined, durationMs: number) => void
  /** `source` is a name from the configuration. */
  readonly observeFetch: (source: string, reason: Reason | undefined, durationMs: number) => void
  /** `source` is a name from the configuration, `operation` one of a few words. */
  readonly countSourceCall: (source: string, operation: string, reason: Reason | undefined) => void
  readonly countSourceSession: (source: string, event: string, reason: Reason | undefined) => void
  /** Of an event on a pod; `dropped` for the bound of the node. */
  readonly countEvent: (outcome: EventOutcome) => void
  /** The whole page in Prometheus' text format. */
  readonly text: () => Promise<string>
  readonly families: () => readonly MetricFamily[]
}

const CALL_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
/** A publish may be held for a minute until its Secret comes. */
const STAGE_BUCKETS_S = [...CALL_BUCKETS_S, 30, 60]

export interface DaemonMetricsOptions {
  readonly version: string
  /** Read at each scrape. */
  readonly gauges?: () => DaemonGauges
}

export function createDaemonMetrics({ version, gauges }: DaemonMetricsOptions): DaemonMetrics {
  const registry = new Registry()
  const registers = [registry]
  const mounts = new Counter({
    name: 'latchkey_mounts_total',
    help: 'Streams of the mount API that have ended, by outcome (ok, error) and reason.',
    labelNames: ['outcome', 'reason'],
    registers,
  })
  const stages = new Histogram({
    name: 'latchkey_mount_stage_duration_seconds',
    help: 'Time in one stage of a mount that went well: authenticate, collect (holding included), commit (by the host side).',
    labelNames: ['stage'],
    buckets: STAGE_BUCKETS_S,
    registers,
  })
  const refreshes = new Counter({
    name: 'latchkey_refreshes_total',
    help: 'Looks at the sources of a mounted volume, by outcome (unchanged, changed, error) and reason.',
    labelNames: ['outcome', 'reason'],
    registers,
  })
  const reviews = new Histogram({
    name: 'latchkey_token_review_duration_seconds',
    help: 'Time to prove who a pod is, by reason; its count is that of the reviews.',
    labelNames: ['reason'],
    buckets: CALL_BUCKETS_S,
    registers,
  })
  const fetches = new Histogram({
    name: 'latchkey_fetch_duration_seconds',
    help: 'Time to fetch one secret, by source and reason; its count is that of the fetches.',
    labelNames: ['source', 'reason'],
    buckets: CALL_BUCKETS_S,
    registers,
  })
  const events = new Counter({
    name: 'latchkey_events_total',
    help: 'Events on pods about stale volumes, by outcome (created, dropped: too many at once, failed).',
    labelNames: ['outcome'],
    registers,
  })
  const sourceCalls = new Counter({
    name: 'latchkey_source_calls_total',
    help: 'Calls to sources outside of the cluster, by source, operation (login, read, renew-self ...), outcome (ok, error) and reason.',
    labelNames: ['source', 'operation', 'outcome', 'reason'],
    registers,
  })
  const sourceSessionEvents = new Counter({
    name: 'latchkey_source_session_events_total',
    help: 'What became of sessions at sources, by source, event (opened, resumed, renewed, replaced, ended, not-renewed, not-ended) and reason.',
    labelNames: ['source', 'event', 'reason'],
    registers,
  })
  setBuildInfo(registry, version)
  if (gauges !== undefined) registerGauges(registry, gauges)
  collectProcessMetrics(registry)
  // A rate needs a zero to rise from.
  mounts.inc({ outcome: 'ok', reason: 'none' }, 0)
  refreshes.inc({ outcome: 'changed', reason: 'none' }, 0)

  return {
    startStage: (stage) => stages.startTimer({ stage }),
    countMount: (reason) => {
      const outcome: Outcome = reason === undefined ? 'ok' : 'error'
      mounts.inc({ outcome, reason: reason ?? 'none' })
    },
    countRefresh: (outcome) => {
      const isSuccess = outcome === 'unchanged' || outcome === 'changed'
      refreshes.inc(isSuccess ? { outcome, reason: 'none' } : { outcome: 'error', reason: outcome })
    },
    observeReview: (reason, durationMs) => {
      reviews.observe({ reason: reason ?? 'none' }, durationMs / 1000)
    },
    observeFetch: (source, reason, durationMs) => {
      fetches.observe({ source, reason: reason ?? 'none' }, durationMs / 1000)
    },
    countSourceCall: (source, operation, reason) => {
      const outcome: Outcome = reason === undefined ? 'ok' : 'error'
      sourceCalls.inc({ source, operation, outcome, reason: reason ?? 'none' })
    },
    countSourceSession: (source, event, reason) => {
      sourceSessionEvents.inc({ source, event, reason: reason ?? 'none' })
    },
    countEvent: (outcome) => {
      events.inc({ outcome })
    },
    text: () => registry.metrics(),
    families: () => familiesOf(registry),
  }
}

function setBuildInfo(registry: Registry, version: string): void {
  new Gauge({
    name: 'latchkey_build_info',
    help: 'Version of the daemon; always 1.',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version }, 1)
}

function registerGauges(registry: Registry, gauges: () => DaemonGauges): void {
  const registers = [registry]
  new Gauge({
    name: 'latchkey_sessions',
    help: 'Authorised volumes by state: live (with a stream) or detached (waiting for a Resume).',
    labelNames: ['state'],
    registers,
    collect() {
      const { live, detached } = gauges()
      this.set({ state: 'live' }, live)
      this.set({ state: 'detached' }, detached)
    },
  })
  new Gauge({
    name: 'latchkey_volumes',
    help: 'Volumes of this node by state, as `latchkey list` shows them: pending, fresh, stale (the last look failed), waiting (for tokens), ending or stranded (the pod is gone, the files are not).',
    labelNames: ['state'],
    registers,
    collect() {
      const { volumes } = gauges()
      for (const state of VOLUME_STATES) this.set({ state }, volumes.get(state) ?? 0)
    },
  })
  new Gauge({
    name: 'latchkey_source_sessions',
    help: 'Sessions held at a source outside of the cluster: one for each service account and role with a pod on this node.',
    labelNames: ['source'],
    registers,
    collect() {
      for (const [source, count] of gauges().sourceSessions) this.set({ source }, count)
    },
  })
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read())
      },
    })
  }
  gauge(
    'latchkey_volume_bytes',
    'Bytes of all files that the daemon has sent to the volumes of this node.',
    () => gauges().bytes,
  )
  gauge(
    'latchkey_stalest_volume_seconds',
    'How long the volume whose looks have failed for longest has not been refreshed; 0 where none fails.',
    () => gauges().stalestMs / 1000,
  )
  gauge(
    'latchkey_watches',
    'Secrets that are being watched or asked for at an interval.',
    () => gauges().watches,
  )
  gauge(
    'latchkey_last_values_bytes',
    'Memory taken by what is kept for items with `onOutage: serve-last`; `limits.lastValuesBytes` bounds it.',
    () => gauges().lastValuesBytes,
  )
  gauge('latchkey_shim_connected', 'Whether the host side holds its report stream open.', () =>
    gauges().isShimConnected ? 1 : 0,
  )
}

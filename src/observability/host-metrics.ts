import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Reason } from '../core/errors.ts'
import { familiesOf, type MetricFamily, type Outcome } from './metric-family.ts'
import { collectHostProcessMetrics } from './process-metrics.ts'

export type HostStage = 'wait_for_contents' | 'build' | 'swap' | 'remove'

/** Who says that a pod has ended, when kubelet does not unpublish its volume. */
export type Witness = 'kubelet_record' | 'api_server'

/** How a farewell to a volume that no daemon had acknowledged has ended. */
export type FarewellOutcome = 'done' | 'given_up'

/** Each volume counts for one state. */
export interface VolumeCounts {
  readonly mounted: number
  readonly pending: number
  /** Whose pod seems to have ended. */
  readonly ending: number
  /** Whose pod seems to have ended, with no proof that it has. */
  readonly stranded: number
  /** With a stream to the daemon. */
  readonly connected: number
}

/** The host side's figures. Every name starts with latchkey_host_: the daemon's page takes them over as they are. */
export interface HostMetrics {
  /** Answers the function that ends the stage. */
  readonly startStage: (stage: HostStage) => () => void
  /** undefined is success. */
  readonly countPublish: (reason: Reason | undefined) => void
  readonly countUnpublish: (reason: Reason | undefined) => void
  readonly countSwap: (outcome: 'ok' | 'failed') => void
  readonly countAdopted: () => void
  readonly countSwept: (witness: Witness) => void
  readonly setWaitingFarewells: (count: number) => void
  readonly setFileMemory: (memory: { readonly bytes: number; readonly mostBytes: number }) => void
  readonly countFarewell: (outcome: FarewellOutcome) => void
  readonly setRegistered: (isRegistered: boolean) => void
  readonly setVolumes: (counts: VolumeCounts) => void
  /** The whole page in Prometheus' text format. */
  readonly text: () => Promise<string>
  readonly families: () => readonly MetricFamily[]
}

const STAGE_BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30, 60]

export interface HostMetricsOptions {
  readonly version: string
}

export function createHostMetrics({ version }: HostMetricsOptions): HostMetrics {
  const registry = new Registry()
  const registers = [registry]
  const publishes = countKubeletCalls(
    registry,
    'publishes',
    'Publish calls of kubelet, republishes included',
  )
  const unpublishes = countKubeletCalls(registry, 'unpublishes', 'Unpublish calls of kubelet')
  const stages = new Histogram({
    name: 'latchkey_host_stage_duration_seconds',
    help: 'Time in one stage of a volume that went well: wait_for_contents (of the daemon), build, swap, remove.',
    labelNames: ['stage'],
    buckets: STAGE_BUCKETS_S,
    registers,
  })
  const swaps = new Counter({
    name: 'latchkey_host_swaps_total',
    help: 'Generations put in place of an older one, by outcome: ok or failed.',
    labelNames: ['outcome'],
    registers,
  })
  const adopted = new Counter({
    name: 'latchkey_host_adopted_volumes_total',
    help: 'Volumes that were found mounted, most of them at the start, and taken over.',
    registers,
  })
  const swept = new Counter({
    name: 'latchkey_host_swept_volumes_total',
    help: 'Volumes taken away although kubelet did not unpublish them, by witness that their pod had ended: kubelet_record (is gone) or api_server.',
    labelNames: ['witness'],
    registers,
  })
  for (const witness of ['kubelet_record', 'api_server']) swept.inc({ witness }, 0)
  const registered = new Gauge({
    name: 'latchkey_host_registered',
    help: 'Whether kubelet has confirmed the registration of the driver.',
    registers,
  })
  const setVolumes = gaugeVolumes(registry)
  setBuildInfo(registry, version)
  collectHostProcessMetrics(registry)

  return {
    startStage: (stage) => stages.startTimer({ stage }),
    countPublish: publishes,
    countUnpublish: unpublishes,
    countSwap: (outcome) => {
      swaps.inc({ outcome })
    },
    countAdopted: () => {
      adopted.inc()
    },
    countSwept: (witness) => {
      swept.inc({ witness })
    },
    ...watchFarewells(registry),
    ...gaugeFileMemory(registry),
    setRegistered: (isRegistered) => {
      registered.set(isRegistered ? 1 : 0)
    },
    setVolumes,
    text: () => registry.metrics(),
    families: () => familiesOf(registry),
  }
}

function watchFarewells(
  registry: Registry,
): Pick<HostMetrics, 'setWaitingFarewells' | 'countFarewell'> {
  const registers = [registry]
  const waiting = new Gauge({
    name: 'latchkey_host_waiting_farewells',
    help: 'Volumes that are gone, and whose leases and sessions at the sources no daemon has acknowledged to have given back yet.',
    registers,
  })
  const farewells = new Counter({
    name: 'latchkey_host_farewells_total',
    help: 'Farewells to such volumes that have ended, by outcome: done (a daemon gave everything back) or given_up (nobody did for an hour). What was not given back ends by its time to live at the source.',
    labelNames: ['outcome'],
    registers,
  })
  for (const outcome of ['done', 'given_up']) farewells.inc({ outcome }, 0)
  return {
    setWaitingFarewells: (count) => {
      waiting.set(count)
    },
    countFarewell: (outcome) => {
      farewells.inc({ outcome })
    },
  }
}

function gaugeFileMemory(registry: Registry): Pick<HostMetrics, 'setFileMemory'> {
  const registers = [registry]
  const bytes = new Gauge({
    name: 'latchkey_host_file_memory_bytes',
    help: 'Memory of the host container that the files of all volumes take, old ones that still lie there included.',
    registers,
  })
  const most = new Gauge({
    name: 'latchkey_host_file_memory_max_bytes',
    help: 'What they may take: limits.tmpfsBytes, or what follows from the memory limit of the container. Beyond it publishes and changes are refused as Overloaded.',
    registers,
  })
  return {
    setFileMemory: (memory) => {
      bytes.set(memory.bytes)
      most.set(memory.mostBytes)
    },
  }
}

function countKubeletCalls(
  registry: Registry,
  what: 'publishes' | 'unpublishes',
  calls: string,
): (reason: Reason | undefined) => void {
  const counter = new Counter({
    name: `latchkey_host_${what}_total`,
    help: `${calls}, by outcome (ok, error) and reason.`,
    labelNames: ['outcome', 'reason'],
    registers: [registry],
  })
  const count = (outcome: Outcome, reason: string, by: number): void => {
    counter.inc({ outcome, reason }, by)
  }
  // A rate needs a zero to rise from.
  count('ok', 'none', 0)
  return (reason) => {
    count(reason === undefined ? 'ok' : 'error', reason ?? 'none', 1)
  }
}

function gaugeVolumes(registry: Registry): (counts: VolumeCounts) => void {
  const registers = [registry]
  const volumes = new Gauge({
    name: 'latchkey_host_volumes',
    help: 'Volumes of this node by state: mounted, pending (asked for and not mounted yet), ending (the pod seems to have ended), or stranded (the same, and nothing proves it: the files stay).',
    labelNames: ['state'],
    registers,
  })
  const streams = new Gauge({
    name: 'latchkey_host_streams',
    help: 'Volumes with an open stream to the daemon. Without one a volume is not refreshed.',
    registers,
  })
  return (counts) => {
    volumes.set({ state: 'mounted' }, counts.mounted)
    volumes.set({ state: 'pending' }, counts.pending)
    volumes.set({ state: 'ending' }, counts.ending)
    volumes.set({ state: 'stranded' }, counts.stranded)
    streams.set(counts.connected)
  }
}

function setBuildInfo(registry: Registry, version: string): void {
  new Gauge({
    name: 'latchkey_host_build_info',
    help: 'Version of the host side; always 1.',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version }, 1)
}

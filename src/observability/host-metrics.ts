import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Reason } from '../core/errors.ts'

export type HostStage = 'wait_for_contents' | 'build' | 'swap' | 'remove'

export interface VolumeCounts {
  readonly mounted: number
  readonly pending: number
  readonly connected: number
}

/** The host side's figures. Every name starts with latchkey_host_: the daemon's page takes them over as they are. */
export interface HostMetrics {
  /** Answers the function that ends the stage. */
  startStage(stage: HostStage): () => void
  countPublish(reason: Reason | undefined): void
  countUnpublish(reason: Reason | undefined): void
  countSwap(outcome: 'ok' | 'failed'): void
  countAdopted(): void
  setRegistered(isRegistered: boolean): void
  setVolumes(counts: VolumeCounts): void
  /** The whole page in Prometheus' text format. */
  text(): Promise<string>
}

const STAGE_BUCKETS_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30, 60]

export function createHostMetrics({ version }: { readonly version: string }): HostMetrics {
  const registry = new Registry()
  const registers = [registry]
  const stages = new Histogram({
    name: 'latchkey_host_stage_duration_seconds',
    help: 'Time spent in one stage of a volume on the host side.',
    labelNames: ['stage'],
    buckets: STAGE_BUCKETS_S,
    registers,
  })
  const publishes = new Counter({
    name: 'latchkey_host_publishes_total',
    help: 'Publish calls of kubelet, republishes included, by reason; none is success.',
    labelNames: ['reason'],
    registers,
  })
  const unpublishes = new Counter({
    name: 'latchkey_host_unpublishes_total',
    help: 'Unpublish calls of kubelet by reason; none is success.',
    labelNames: ['reason'],
    registers,
  })
  const swaps = new Counter({
    name: 'latchkey_host_swaps_total',
    help: 'Generations put in place of an older one, by outcome.',
    labelNames: ['outcome'],
    registers,
  })
  const adopted = new Counter({
    name: 'latchkey_host_adopted_volumes_total',
    help: 'Volumes that were found mounted at the start and taken over.',
    registers,
  })
  const registered = new Gauge({
    name: 'latchkey_host_registered',
    help: 'Whether kubelet has confirmed the registration of the driver.',
    registers,
  })
  const volumes = new Gauge({
    name: 'latchkey_host_volumes',
    help: 'Volumes of this node: mounted, pending (not mounted yet), connected (with a stream to the daemon).',
    labelNames: ['state'],
    registers,
  })
  new Gauge({
    name: 'latchkey_host_build_info',
    help: 'Version of the host side; always 1.',
    labelNames: ['version'],
    registers,
  }).set({ version }, 1)

  return {
    startStage: (stage) => stages.startTimer({ stage }),
    countPublish: (reason) => {
      publishes.inc({ reason: reason ?? 'none' })
    },
    countUnpublish: (reason) => {
      unpublishes.inc({ reason: reason ?? 'none' })
    },
    countSwap: (outcome) => {
      swaps.inc({ outcome })
    },
    countAdopted: () => {
      adopted.inc()
    },
    setRegistered: (isRegistered) => {
      registered.set(isRegistered ? 1 : 0)
    },
    setVolumes: ({ mounted, pending, connected }) => {
      volumes.set({ state: 'mounted' }, mounted)
      volumes.set({ state: 'pending' }, pending)
      volumes.set({ state: 'connected' }, connected)
    },
    text: () => registry.metrics(),
  }
}

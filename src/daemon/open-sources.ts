import type { Config } from '../config/config.ts'
import type { Clock } from '../core/clock.ts'
import { Limiter } from '../core/limiter.ts'
import type { DaemonMetrics } from '../observability/daemon-metrics.ts'
import type { RejectedTokens } from './identity/rejected-tokens.ts'
import type { KubeClient } from './kube/kube-client.ts'
import type { Contents, Stages } from './mount/stages.ts'
import { collect } from './sources/collect.ts'
import { Fetcher } from './sources/fetcher.ts'
import { KUBERNETES_GRAMMAR, type Grammars } from './sources/grammar.ts'
import { createKubernetesSource } from './sources/kubernetes-source.ts'
import { LastValues } from './sources/last-values.ts'
import { serveLast } from './sources/serve-last.ts'
import type { Source } from './sources/source.ts'
import { spareSource } from './sources/spare-source.ts'

export interface SourcesOptions {
  readonly config: Config
  readonly kube: KubeClient
  readonly clock: Clock
  readonly metrics: DaemonMetrics
  readonly rejected: RejectedTokens
}

export interface OpenSources {
  readonly byName: ReadonlyMap<string, Source>
  readonly grammars: Grammars
  readonly collect: Stages['collect']
  readonly lastValues: LastValues
  /** Wipes what is kept. */
  close(): void
}

const CONCURRENT_FETCHES = 32
const WAITING_FETCHES = 4096
/** Each up to 4 MiB, some copies of it, and as much in the transport: the memory limit in deploy/ goes by this. */
const VOLUMES_IN_MEMORY = 6

/** Every source of this node, and the one way to whole generations from them. */
export function openSources(options: SourcesOptions): OpenSources {
  const { config, kube, clock, metrics, rejected } = options
  const sources = [createKubernetesSource(kube)].map((source) => spareSource(source, { clock }))
  const byName = new Map(sources.map((source) => [source.name, source]))
  const lastValues = new LastValues({ clock, maxBytes: config.limits.lastValuesBytes })
  const fetcher = new Fetcher({
    sources: byName,
    clock,
    timeoutMs: config.kubernetes.timeoutMs,
    rejected,
    slots: new Limiter('fetches', CONCURRENT_FETCHES, WAITING_FETCHES),
    onFetch: (source, reason, durationMs) => {
      metrics.observeFetch(source, reason, durationMs)
    },
  })
  const fetching = serveLast({ fetcher, lastValues, clock })
  const volumes = new Limiter('volumes', VOLUMES_IN_MEMORY, WAITING_FETCHES)
  return {
    byName,
    grammars: new Map([['kubernetes', KUBERNETES_GRAMMAR]]),
    lastValues,
    async collect(workload, items, fsGroup, signal): Promise<Contents> {
      const leave = await volumes.enter(signal)
      const done = metrics.startStage('collect')
      try {
        const contents = await collect(workload, items, fsGroup, fetching, signal)
        done()
        const dispose = (): void => {
          for (const { data } of contents.files) data.wipe()
          leave()
        }
        return { ...contents, dispose }
      } catch (thrown) {
        leave()
        throw thrown
      }
    },
    close() {
      lastValues.close()
    },
  }
}

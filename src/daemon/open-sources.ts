import type { Config } from '../config/config.ts'
import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { Limiter } from '../core/limiter.ts'
import type { DaemonMetrics } from '../observability/daemon-metrics.ts'
import type { Logger } from '../observability/log.ts'
import type { ProbedSource } from './diagnose/sources.ts'
import type { RejectedTokens } from './identity/rejected-tokens.ts'
import type { KubeClient } from './kube/kube-client.ts'
import type { Contents, Stages } from './mount/stages.ts'
import { openVaults } from './open-vaults.ts'
import { collect } from './sources/collect.ts'
import { Fetcher } from './sources/fetcher.ts'
import { KUBERNETES_GRAMMAR, type Grammar, type Grammars } from './sources/grammar.ts'
import { createKubernetesSource } from './sources/kubernetes-source.ts'
import { LastValues } from './sources/last-values.ts'
import { serveLast } from './sources/serve-last.ts'
import type { Item } from './sources/item.ts'
import type { Source } from './sources/source.ts'
import { spareSource } from './sources/spare-source.ts'
import { VAULT_GRAMMAR } from './sources/vault/grammar.ts'

export interface SourcesOptions {
  readonly config: Config
  readonly kube: KubeClient
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: DaemonMetrics
  readonly rejected: RejectedTokens
}

export interface OpenSources {
  readonly byName: ReadonlyMap<string, Source>
  readonly grammars: Grammars
  readonly collect: Stages['collect']
  readonly lastValues: LastValues
  /** Held at sources outside of the cluster, by the source's name. */
  readonly sessions: () => ReadonlyMap<string, number>
  /** Those outside of the cluster, for a diagnosis. */
  readonly probed: readonly ProbedSource[]
  /** Wipes what is kept. */
  close(): void
}

const CONCURRENT_FETCHES = 32
const WAITING_FETCHES = 4096
/** Each up to 4 MiB, some copies of it, and as much in the transport: the memory limit in deploy/ goes by this. */
const VOLUMES_IN_MEMORY = 6
/**
 * Beside them for each source outside of the cluster, and for the volumes that name several of these: one that answers
 * slowly, or not at all, holds up nobody's volume that has nothing of it.
 */
const OUTSIDE_VOLUMES_IN_MEMORY = 3

interface Declared {
  readonly source: Source
  readonly grammar: Grammar
  /** For one fetch. */
  readonly timeoutMs: number
}

/** Every source of this node, and the one way to whole generations from them. Throws: InvalidRequest. */
export function openSources(options: SourcesOptions): OpenSources {
  const { config, kube, clock, metrics } = options
  const inside: Declared = {
    source: spareSource(createKubernetesSource(kube), { clock }),
    grammar: KUBERNETES_GRAMMAR,
    timeoutMs: config.kubernetes.timeoutMs,
  }
  // Not spared: a Vault's calls keep to a pace of their own, which rests while it is away and honours what
  // it asks for. Sparing them a second time would tell pods of an old failure after it is back.
  const vaults = openVaults(options)
  const outside = vaults.map((vault) => ({ ...vault, grammar: VAULT_GRAMMAR }))
  const declared = [inside, ...outside]
  const lastValues = new LastValues({ clock, maxBytes: config.limits.lastValuesBytes })
  const fetching = serveLast({ fetcher: fetcherFor(declared, options), lastValues, clock })
  const roomFor = createRooms(outside.map(({ source }) => source.name))
  return {
    byName: new Map(declared.map(({ source }) => [source.name, source])),
    grammars: new Map(declared.map(({ source, grammar }) => [source.name, grammar])),
    sessions: () => new Map(vaults.map(({ source, sessions }) => [source.name, sessions])),
    probed: vaults.map(({ probed }) => probed),
    lastValues,
    async collect(workload, items, fsGroup, signal, holdings): Promise<Contents> {
      const leave = await roomFor(items).enter(signal, workload.pod.namespace)
      const done = metrics.startStage('collect')
      try {
        const through = holdings?.through(fetching) ?? fetching
        const contents = await collect(workload, items, fsGroup, through, signal)
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
      for (const vault of vaults) vault.close()
      lastValues.close()
    },
  }
}

/** Volumes in memory: in one room those that may be held up by the same sources. */
function createRooms(outside: readonly string[]): (items: readonly Item[]) => Limiter {
  const outsideRoom = (): Limiter =>
    new Limiter('volumes', OUTSIDE_VOLUMES_IN_MEMORY, WAITING_FETCHES)
  const inside = new Limiter('volumes', VOLUMES_IN_MEMORY, WAITING_FETCHES)
  const rooms = new Map(outside.map((name) => [name, outsideRoom()]))
  const ofSeveral = outsideRoom()
  return (items) => {
    const [first, second] = new Set(items.map(({ from }) => from)).intersection(rooms)
    if (first === undefined) return inside
    return second === undefined ? (rooms.get(first) ?? ofSeveral) : ofSeveral
  }
}

/** Each source has slots and a time of its own: one that hangs keeps no other waiting. */
function fetcherFor(
  declared: readonly Declared[],
  { clock, metrics, rejected }: SourcesOptions,
): Pick<Fetcher, 'fetch'> {
  const fetchers = new Map(
    declared.map(({ source, timeoutMs }) => {
      const fetcher = new Fetcher({
        sources: new Map([[source.name, source]]),
        clock,
        timeoutMs,
        rejected,
        slots: new Limiter('fetches', CONCURRENT_FETCHES, WAITING_FETCHES),
        onFetch: (name, reason, durationMs) => {
          metrics.observeFetch(name, reason, durationMs)
        },
      })
      return [source.name, fetcher]
    }),
  )
  return {
    async fetch(workload, from, secret, signal) {
      const fetcher = fetchers.get(from)
      if (fetcher !== undefined) return fetcher.fetch(workload, from, secret, signal)
      throw new LatchkeyError('InvalidRequest', `no source is named "${from}"`)
    },
  }
}

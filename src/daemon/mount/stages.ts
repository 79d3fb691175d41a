import type { Clock } from '../../core/clock.ts'
import type { Limiter } from '../../core/limiter.ts'
import type { VolumeRequest } from '../../core/types.ts'
import type { DaemonMetrics } from '../../observability/daemon-metrics.ts'
import type { Logger } from '../../observability/log.ts'
import type { StaleEvents } from '../events/stale-events.ts'
import type { Witness } from '../identity/witness.ts'
import type { Workload } from '../identity/workload.ts'
import type { Holdings } from '../refresh/holdings.ts'
import type { Feeds } from '../refresh/feeds.ts'
import type { Collected } from '../sources/collect.ts'
import type { Grammars } from '../sources/grammar.ts'
import type { Item } from '../sources/item.ts'
import type { Source } from '../sources/source.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { Sessions } from './sessions.ts'

/** A generation on its way to the shim. */
export interface Contents extends Collected {
  /** Zeroes the bytes and makes room for another volume's; to be called once they have been sent, or will not be. */
  dispose(): void
}

/** The rooms that a mount passes through, each made once by the composer. */
export interface Stages {
  readonly authenticate: (request: VolumeRequest, signal: AbortSignal) => Promise<Workload>
  /** Of the token that proves a pod. */
  readonly audience: string
  /** Whether a pod that kubelet stays away from is still there. */
  readonly askForPod: Witness
  readonly sources: ReadonlyMap<string, Source>
  /** How their items are written. */
  readonly grammars: Grammars
  /** Few at once: each holds a whole volume in memory until it is disposed of. */
  readonly collect: (
    workload: Workload,
    items: readonly Item[],
    fsGroup: number | undefined,
    signal: AbortSignal,
    holdings?: Holdings,
  ) => Promise<Contents>
  readonly feeds: Feeds
  /** Where the cluster lets the daemon tell pods that their files are stale. */
  readonly events?: StaleEvents | undefined
  readonly sessions: Sessions
  readonly budget: ByteBudget
  /** Slots for what costs the API server and the sources something; a held mount takes none. */
  readonly slots: Limiter
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: DaemonMetrics
}

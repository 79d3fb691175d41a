import type { Config } from '../config/config.ts'
import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { Limiter } from '../core/limiter.ts'
import { createDaemonMetrics, type DaemonMetrics } from '../observability/daemon-metrics.ts'
import type { Logger } from '../observability/log.ts'
import { joinMetricsPages } from '../observability/metrics-page.ts'
import { peerUid } from '../wire/peer.ts'
import { hostBeats, hostConnected, judge, registered } from './health.ts'
import { listenForProbes } from './http-server.ts'
import { createAuthenticator } from './identity/authenticator.ts'
import { RejectedTokens } from './identity/rejected-tokens.ts'
import { createWitness } from './identity/witness.ts'
import type { KubeClient } from './kube/kube-client.ts'
import { ByteBudget } from './mount/byte-budget.ts'
import { summarize } from './mount/listing.ts'
import { listenForShims } from './mount/mount-server.ts'
import { Sessions } from './mount/sessions.ts'
import { ShimReports } from './mount/shim-reports.ts'
import type { Stages } from './mount/stages.ts'
import { Feeds } from './refresh/feeds.ts'
import { collect } from './sources/collect.ts'
import { Fetcher } from './sources/fetcher.ts'
import { createKubernetesSource } from './sources/kubernetes-source.ts'
import { LastValues } from './sources/last-values.ts'
import { serveLast } from './sources/serve-last.ts'

export interface DaemonOptions {
  readonly config: Config
  readonly nodeName: string
  readonly version: string
  readonly kube: KubeClient
  readonly clock: Clock
  readonly log: Logger
  /** Whose processes are shims: root's, for the host side is. */
  readonly shimUid: number
}

export interface RunningDaemon {
  readonly httpPort: number
  /** Ends every stream with ShuttingDown; shims open them again at the next process. */
  stop(): Promise<void>
}

const CONCURRENT_FETCHES = 32
const WAITING_FETCHES = 4096
/** Each up to 4 MiB, some copies of it, and as much in the transport: the memory limit in deploy/ goes by this. */
const VOLUMES_IN_MEMORY = 6

/** Starts the daemon: the only place where its parts are made and joined. */
export async function startDaemon(options: DaemonOptions): Promise<RunningDaemon> {
  const { config, clock, log, kube, version } = options
  const { limits } = config
  const { timeoutMs } = config.kubernetes
  const startedAtMs = clock.now()
  const budget = new ByteBudget(limits)
  const sessions = new Sessions(clock, budget)
  const rejected = new RejectedTokens({ clock })
  const lastValues = new LastValues({ clock, maxBytes: limits.lastValuesBytes })
  const { intervalMs } = config.refresh
  const feeds = new Feeds({ clock, intervalMs, rejected, lastValues })
  const reports = new ShimReports(clock)
  const metrics = createDaemonMetrics({
    version,
    gauges: () => ({
      ...sessions.count(),
      ...summarize(sessions.list(), reports.held, clock.now()),
      bytes: budget.totalBytes,
      watches: feeds.size,
      isShimConnected: reports.isConnected,
    }),
  })
  const sources = new Map([createKubernetesSource(kube)].map((source) => [source.name, source]))
  const fetcher = new Fetcher({
    sources,
    clock,
    timeoutMs,
    rejected,
    slots: new Limiter('fetches', CONCURRENT_FETCHES, WAITING_FETCHES),
    onFetch: (source, reason, durationMs) => {
      metrics.observeFetch(source, reason, durationMs)
    },
  })
  const fetching = serveLast({ fetcher, lastValues, clock })
  const generations = new Limiter('volumes', VOLUMES_IN_MEMORY, WAITING_FETCHES)
  const stages: Stages = {
    authenticate: authenticate(options, metrics),
    askForPod: createWitness({ kube, audience: config.audience, clock, timeoutMs }),
    sources,
    collect: async (workload, items, fsGroup, signal) => {
      const leave = await generations.enter(signal)
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
    feeds,
    sessions,
    budget,
    slots: new Limiter('mounts', limits.concurrentPublishes, limits.waitingPublishes),
    clock,
    log,
    metrics,
  }
  const shims = await listenForShims({
    path: config.sockets.mount,
    stages,
    reports,
    diagnose: () => Promise.resolve({ version, findings: [] }),
    clock,
    maxConnections: limits.connections,
    admits: (socket) => peerUid(socket) === options.shimUid,
  })
  const beats = hostBeats(reports, () => clock.now() - startedAtMs)
  const http = await listenForProbes({
    ...config.http,
    live: () =>
      judge({ socket: () => (shims.isInPlace() ? undefined : 'the mount socket is gone') }),
    host: () => judge({ host: beats }),
    ready: () => judge({ host: hostConnected(reports), registered: registered(reports) }),
    metricsText: async () => joinMetricsPages(await metrics.text(), reports.metricsText),
    onError: (err) => {
      log.error({ err }, 'probe or scrape failed')
    },
  })
  log.info({ version, node: options.nodeName }, 'daemon started')

  return {
    httpPort: http.port,
    async stop() {
      await http.close()
      await shims.close()
      sessions.close()
      lastValues.close()
      await kube.close()
      log.info({}, 'daemon stopped')
    },
  }
}

/** The authenticator with its time and verdict measured. */
function authenticate(
  { kube, config, nodeName, clock }: DaemonOptions,
  metrics: DaemonMetrics,
): Stages['authenticate'] {
  const authenticator = createAuthenticator({
    kube,
    nodeName,
    audience: config.audience,
    kubeletRoot: config.kubelet.root,
    clock,
    timeoutMs: config.kubernetes.timeoutMs,
  })
  return async (request, signal) => {
    const startedMs = clock.now()
    const done = metrics.startStage('authenticate')
    try {
      const workload = await authenticator.authenticate(request, signal)
      done()
      metrics.observeReview(undefined, clock.now() - startedMs)
      return workload
    } catch (thrown) {
      metrics.observeReview(LatchkeyError.from(thrown).reason, clock.now() - startedMs)
      throw thrown
    }
  }
}

import type { Config } from '../config/config.ts'
import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { Limiter } from '../core/limiter.ts'
import { createDaemonMetrics, type DaemonMetrics } from '../observability/daemon-metrics.ts'
import type { Logger } from '../observability/log.ts'
import { createGarbageRelease } from '../observability/logged-garbage.ts'
import { joinMetricsPages } from '../observability/metrics-page.ts'
import type { VolumeStatus__Output } from '../wire/gen/latchkey/mount/v1/VolumeStatus.ts'
import { peerUid } from '../wire/peer.ts'
import { Audiences } from './diagnose/audiences.ts'
import { diagnose } from './diagnose/diagnose.ts'
import { createStaleEvents, type StaleEvents } from './events/stale-events.ts'
import { hostBeats, hostConnected, judge, registered } from './health.ts'
import { listenForProbes } from './http-server.ts'
import { createAuthenticator } from './identity/authenticator.ts'
import { RejectedTokens } from './identity/rejected-tokens.ts'
import { createWitness } from './identity/witness.ts'
import type { KubeClient, KubeErrands } from './kube/kube-client.ts'
import { ByteBudget } from './mount/byte-budget.ts'
import { listVolumes, summarize } from './mount/listing.ts'
import { listenForShims } from './mount/mount-server.ts'
import { Sessions } from './mount/sessions.ts'
import { ShimReports } from './mount/shim-reports.ts'
import type { Stages } from './mount/stages.ts'
import { Feeds } from './refresh/feeds.ts'
import { openSources } from './open-sources.ts'

export interface DaemonOptions {
  readonly config: Config
  readonly nodeName: string
  readonly version: string
  readonly kube: KubeClient & KubeErrands
  readonly clock: Clock
  readonly log: Logger
  /** Whose processes are shims: root's, for the host side is. */
  readonly shimUid: number
  /** Has free memory overwritten, blocking for about a tenth of a second; left out, V8 does it in its own time. */
  readonly releaseGarbage?: () => Promise<void>
}

export interface RunningDaemon {
  readonly httpPort: number
  /** Ends every stream with ShuttingDown; shims open them again at the next process. */
  stop(): Promise<void>
}

/** Starts the daemon: the only place where its parts are made and joined. */
export async function startDaemon(options: DaemonOptions): Promise<RunningDaemon> {
  const { config, clock, log, kube, version, nodeName } = options
  const { limits } = config
  const { timeoutMs } = config.kubernetes
  const startedAtMs = clock.now()
  const budget = new ByteBudget(limits)
  const garbage = createGarbageRelease(options)
  const release = (): void => {
    garbage.schedule()
  }
  const sessions = new Sessions(clock, budget, { admitted: release, accountGone: release })
  const rejected = new RejectedTokens({ clock })
  const { intervalMs } = config.refresh
  const reports = new ShimReports(clock)
  const metrics = createDaemonMetrics({
    version,
    gauges: () => ({
      ...sessions.count(),
      ...summarize(sessions.list(), reports.held, clock.now()),
      bytes: budget.totalBytes,
      watches: feeds.size,
      isShimConnected: reports.isConnected,
      lastValuesBytes: sources.lastValues.bytes,
      sourceSessions: sources.sessions(),
    }),
  })
  const sources = openSources({ config, kube, clock, log, metrics, rejected })
  const feeds = new Feeds({ clock, intervalMs, rejected, lastValues: sources.lastValues })
  const audiences = new Audiences()
  const events = config.events.enabled ? createEvents(options, metrics) : undefined
  const stages: Stages = {
    authenticate: authenticate(options, metrics, audiences),
    audience: config.audience,
    askForPod: createWitness({ kube, audience: config.audience, clock, timeoutMs }),
    sources: sources.byName,
    grammars: sources.grammars,
    collect: sources.collect,
    feeds,
    events,
    sessions,
    budget,
    slots: new Limiter('mounts', limits.concurrentPublishes, limits.waitingPublishes),
    clock,
    log,
    metrics,
  }
  const volumes = (): readonly VolumeStatus__Output[] => listVolumes(sessions.list(), reports.held)
  const { probed } = sources
  const diagnosis = { ...options, startedAtMs, reports, volumes, audiences, sources: probed }
  const shims = await listenForShims({
    path: config.sockets.mount,
    stages,
    reports,
    version,
    diagnose: (signal) => diagnose(diagnosis, signal),
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
  garbage.schedule()
  log.info({ version, node: nodeName }, 'daemon started')

  return {
    httpPort: http.port,
    async stop() {
      await http.close()
      await shims.close()
      sessions.close()
      garbage.stop()
      sources.close()
      events?.stop()
      await kube.close()
      log.info({}, 'daemon stopped')
    },
  }
}

function createEvents(
  { config, nodeName, kube, clock, log }: DaemonOptions,
  metrics: DaemonMetrics,
): StaleEvents {
  return createStaleEvents({
    clock,
    log,
    node: nodeName,
    staleAfterMs: config.events.staleAfterMs,
    create: kube.createPodEvent,
    count: metrics.countEvent,
  })
}

/** The authenticator with its time and verdict measured. */
function authenticate(
  { kube, config, nodeName, clock }: DaemonOptions,
  metrics: DaemonMetrics,
  audiences: Audiences,
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
    audiences.note(request.tokens.map(({ audience }) => audience))
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

import type { Clock } from '../core/clock.ts'
import type { Config } from '../config/config.ts'
import { createHostMetrics, type HostMetrics } from '../observability/host-metrics.ts'
import type { Logger } from '../observability/log.ts'
import { createMountClient } from '../wire/mount-client.ts'
import { peerUid } from '../wire/peer.ts'
import { CsiServer, type RegistrationState } from './csi/csi-server.ts'
import { Reporter } from './reporter.ts'
import { Volumes } from './volumes.ts'
import type { VolumeStore } from './volume/volume-store.ts'

export interface HostOptions {
  readonly config: Config
  readonly nodeName: string
  readonly version: string
  readonly store: VolumeStore
  readonly clock: Clock
  readonly log: Logger
  /** Who may call the CSI sockets: kubelet is root. */
  readonly kubeletUid: number
}

export interface RunningHost {
  /** Leaves every mount in place; the next process adopts them. */
  stop(): Promise<void>
}

/** Starts the host side: takes over what is mounted, then lets kubelet come. */
export async function startHost(options: HostOptions): Promise<RunningHost> {
  const { config, clock, log, store, version } = options
  const metrics = createHostMetrics({ version })
  const client = createMountClient(config.sockets.mount)
  const volumes = new Volumes({
    store,
    link: client,
    clock,
    log,
    metrics,
    maxVolumeBytes: config.volumes.maxBytes,
    lingerMs: config.volumes.oldGenerationLingerMs,
  })
  volumes.adopt()

  let registration: RegistrationState = { isRegistered: false, error: '' }
  const reporter = new Reporter({
    link: client,
    clock,
    report: () => report(version, registration, volumes, metrics),
  })
  const csi = await CsiServer.start({
    driver: config.driver,
    version,
    nodeName: options.nodeName,
    kubeletRoot: config.kubelet.root,
    volumes,
    maxConnections: config.limits.connections,
    clock,
    log,
    onDone: (method, error, durationMs) => {
      if (method === 'NodePublishVolume') metrics.countPublish(error?.reason)
      if (method === 'NodeUnpublishVolume') metrics.countUnpublish(error?.reason)
      if (error === undefined) log.debug({ method, durationMs }, 'call answered')
      else log.warn({ method, durationMs, reason: error.reason, err: error }, 'call refused')
    },
    onRegistration: (state) => {
      registration = state
      metrics.setRegistered(state.isRegistered)
      if (state.isRegistered) log.info({}, 'driver registered with kubelet')
      else log.warn({ reason: state.error }, 'driver not registered with kubelet')
      reporter.hurry()
    },
    admits: (socket) => peerUid(socket) === options.kubeletUid,
  })
  log.info({ version, node: options.nodeName, count: volumes.count().mounted }, 'host side started')

  return {
    async stop() {
      // First, so that publishes that are being held are answered and need not be waited for.
      volumes.stop()
      await csi.stop()
      await reporter.stop()
      client.close()
      log.info({}, 'host side stopped')
    },
  }
}

async function report(
  version: string,
  { isRegistered, error }: RegistrationState,
  volumes: Volumes,
  metrics: HostMetrics,
) {
  const counts = volumes.count()
  metrics.setVolumes(counts)
  return {
    version,
    registered: isRegistered,
    registrationError: error,
    volumes: counts.mounted,
    metricsText: await metrics.text(),
  }
}

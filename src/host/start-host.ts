import type { Clock } from '../core/clock.ts'
import type { Config } from '../config/config.ts'
import { readCgroupMemory } from '../observability/cgroup-memory.ts'
import { createHostMetrics, type HostMetrics } from '../observability/host-metrics.ts'
import type { Logger } from '../observability/log.ts'
import { createGarbageRelease } from '../observability/logged-garbage.ts'
import type { ShimReport } from '../wire/gen/latchkey/mount/v1/ShimReport.ts'
import { createMountClient } from '../wire/mount-client.ts'
import { peerUid } from '../wire/peer.ts'
import { vettedCredentials } from '../wire/vetted-socket.ts'
import { CsiServer, type RegistrationState } from './csi/csi-server.ts'
import { fileBytesWithin } from './file-room.ts'
import { countHeld, describeHeld } from './held-volumes.ts'
import { Reporter } from './reporter.ts'
import { isRecordGone } from './sweep/kubelet-record.ts'
import { readPodCgroups, type CgroupView } from './sweep/pod-cgroups.ts'
import { Sweeper } from './sweep/sweeper.ts'
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
  /** Who serves the mount socket; left out, whoever owns the folder around it. */
  readonly daemonUid?: number | undefined
  /** Frees what nobody uses any more; see GarbageRelease. */
  readonly releaseGarbage?: () => Promise<void>
  /** How pods' processes are seen; left out, no volume goes before kubelet unpublishes it. */
  readonly cgroups?: CgroupView
}

export interface RunningHost {
  /** Leaves every mount in place; the next process adopts them. */
  stop(): Promise<void>
}

interface Reported {
  readonly volumes: Volumes
  readonly sweeper: Sweeper
  readonly metrics: HostMetrics
}

/** Starts the host side: takes over what is mounted, then lets kubelet come. */
export async function startHost(options: HostOptions): Promise<RunningHost> {
  const { config, clock, log, store, version } = options
  const metrics = createHostMetrics({ version })
  const { mount } = config.sockets
  const vetted = vettedCredentials(mount, {
    ownerUid: options.daemonUid,
    onRefused: (err) => {
      log.error({ err, reason: err.reason }, 'mount socket refused; tried again')
    },
  })
  const client = createMountClient(mount, vetted)
  const { nodeBytes, tmpfsBytes } = config.limits
  const volumes = new Volumes({
    store,
    link: client,
    clock,
    log,
    metrics,
    maxVolumeBytes: config.volumes.maxBytes,
    lingerMs: config.volumes.oldGenerationLingerMs,
    maxFileBytes: tmpfsBytes ?? fileBytesWithin(readCgroupMemory(), nodeBytes),
    maxPublishes: config.limits.concurrentPublishes + config.limits.waitingPublishes,
  })
  volumes.adopt()
  const sweeper = createSweeper(options, volumes, metrics)

  let registration: RegistrationState = { isRegistered: false, error: '' }
  const garbage = createGarbageRelease(options)
  let countAtLastReport: number | undefined
  const reporter = new Reporter({
    link: client,
    clock,
    report: () => {
      const { mounted } = volumes.count()
      if (mounted !== countAtLastReport) garbage.schedule()
      countAtLastReport = mounted
      return report(version, registration, { volumes, sweeper, metrics })
    },
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
  sweeper.start()
  log.info({ version, node: options.nodeName, count: volumes.count().mounted }, 'host side started')

  return {
    async stop() {
      // A round that goes on would take up streams that nobody ends.
      const swept = sweeper.stop()
      // Early, so that publishes that are being held are answered and need not be waited for.
      volumes.stop()
      await csi.stop()
      await reporter.stop()
      garbage.stop()
      await swept
      client.close()
      log.info({}, 'host side stopped')
    },
  }
}

function createSweeper(options: HostOptions, volumes: Volumes, metrics: HostMetrics): Sweeper {
  const { config, clock, log } = options
  const kubeletRoot = config.kubelet.root
  const cgroups = options.cgroups ?? { root: '', ownPodUid: undefined }
  return new Sweeper({
    volumes,
    kubeletRoot,
    isRecordGone: (volume) => isRecordGone(kubeletRoot, volume),
    readPodCgroups: () => readPodCgroups(cgroups),
    graceMs: config.volumes.endedGraceMs,
    clock,
    log,
    metrics,
  })
}

async function report(
  version: string,
  { isRegistered, error }: RegistrationState,
  { volumes, sweeper, metrics }: Reported,
): Promise<ShimReport> {
  const keepers = volumes.keepers()
  const strays = volumes.unreadableStrays()
  metrics.setVolumes(countHeld(keepers, sweeper.findings, strays))
  metrics.setFileMemory(volumes.fileMemory)
  return {
    version,
    registered: isRegistered,
    registrationError: error,
    metricsText: await metrics.text(),
    held: describeHeld(keepers, sweeper.findings, strays),
  }
}

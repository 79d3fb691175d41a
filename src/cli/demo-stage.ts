import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { systemClock } from '../core/clock.ts'
import { loadKubeconfig } from '../daemon/kube/kubeconfig.ts'
import { createKubeClient } from '../daemon/kube/create-client.ts'
import { startDaemon, type RunningDaemon } from '../daemon/start-daemon.ts'
import { startHost, type RunningHost } from '../host/start-host.ts'
import { DirectoryStore } from '../host/volume/directory-store.ts'
import { TmpfsStore } from '../host/volume/tmpfs-store.ts'
import type { VolumeStore } from '../host/volume/volume-store.ts'
import { startMinicluster, type Minicluster } from '../minicluster/minicluster.ts'
import { createLogger } from '../observability/log.ts'
import { probeKernel } from '../syscalls/kernel-features.ts'
import { readVersion } from './version.ts'

/** A cluster in memory, with both sides of Latchkey running on its one node. */
export interface DemoStage {
  readonly folder: string
  readonly cluster: Minicluster
  readonly store: VolumeStore
  readonly daemon: RunningDaemon
  readonly host: RunningHost
  stop(): Promise<void>
}

const SYNC_INTERVAL_MS = 2_000

/** Starts everything, in the order in which a node does. `changes`: of the configuration. */
export async function setStage(
  mayMount: boolean,
  changes: Partial<Config> = {},
): Promise<DemoStage> {
  const folder = mkdtempSync(join(parentFolder(), 'latchkey-'))
  const cluster = await startMinicluster({
    root: folder,
    kubelet: { syncIntervalMs: SYNC_INTERVAL_MS },
  })
  const config = { ...configFor(folder, cluster), ...changes }
  const uid = process.getuid?.() ?? -1
  const common = {
    config,
    nodeName: cluster.nodeName,
    version: readVersion(),
    clock: systemClock,
    log: createLogger({ level: 'error', side: 'daemon' }),
  }
  const connection = loadKubeconfig(cluster.kubeconfigFile)
  const kube = createKubeClient({ connection, clock: systemClock })
  const daemon = await startDaemon({ ...common, kube, shimUid: uid })
  const store = mayMount ? tmpfsStore(config) : directoryStore(config)
  const log = createLogger({ level: 'error', side: 'host' })
  const host = await startHost({ ...common, log, store, kubeletUid: uid })
  return {
    folder,
    cluster,
    store,
    daemon,
    host,
    async stop() {
      // While the driver is there, for kubelet unpublishes what is left.
      await cluster.kubelet.drain()
      await host.stop()
      await daemon.stop()
      await cluster.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Memory where there is some to be had: without a tmpfs of their own, files shall not reach a disk either. */
function parentFolder(): string {
  return existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
}

function configFor(folder: string, cluster: Minicluster): Config {
  const config = loadConfig({})
  const root = cluster.kubeletRoot
  return {
    ...config,
    kubelet: { root },
    sockets: { mount: `${folder}/mount/mount.sock` },
    http: { address: '127.0.0.1', port: 0 },
  }
}

function tmpfsStore({ kubelet, volumes }: Config): VolumeStore {
  return new TmpfsStore({
    kubeletRoot: kubelet.root,
    features: probeKernel(),
    allowSwap: true,
    maxVolumeBytes: volumes.maxBytes,
    now: () => new Date(),
  })
}

function directoryStore({ kubelet }: Config): VolumeStore {
  return new DirectoryStore({ kubeletRoot: kubelet.root, now: () => new Date() })
}

import type { Config } from '../config/config.ts'
import { loadConfig, nodeNameOf } from '../config/load.ts'
import { systemClock } from '../core/clock.ts'
import type { ClusterConnection } from '../daemon/kube/cluster-connection.ts'
import { loadInCluster } from '../daemon/kube/in-cluster.ts'
import { createKubeClient } from '../daemon/kube/create-client.ts'
import { startDaemon, type RunningDaemon } from '../daemon/start-daemon.ts'
import { createLogger, type Logger } from '../observability/log.ts'
import { releaseGarbage } from '../syscalls/freed-memory.ts'
import { hardenProcess } from './debuggers.ts'
import { runUntilSignal } from './lifetime.ts'
import { readVersion } from './version.ts'

const ROOT = 0

/** `latchkey daemon`: the side that talks to the network. Answers the exit code. */
export async function runDaemon({ config: file }: { readonly config?: string }): Promise<number> {
  hardenProcess()
  const config = loadConfig({ file, environment: process.env })
  const log = createLogger({ level: config.log.level, side: 'daemon' })
  return runUntilSignal(await startDaemonSide(config, log), log)
}

/** The daemon as it runs in production: with the cluster's API server, for a host side that is root. */
export async function startDaemonSide(config: Config, log: Logger): Promise<RunningDaemon> {
  const { kubeconfig, timeoutMs } = config.kubernetes
  const kube = createKubeClient({
    connection: kubeconfig === undefined ? loadInCluster() : await loadConnection(kubeconfig),
    clock: systemClock,
    limits: { callTimeoutMs: timeoutMs },
  })
  return startDaemon({
    config,
    nodeName: nodeNameOf(config),
    version: readVersion(),
    kube,
    clock: systemClock,
    log,
    shimUid: ROOT,
    releaseGarbage,
  })
}

/** What reads a kubeconfig takes longer to load than all the rest, and in a cluster there is none. */
async function loadConnection(kubeconfig: string): Promise<ClusterConnection> {
  const { loadKubeconfig } = await import('../daemon/kube/kubeconfig.ts')
  return loadKubeconfig(kubeconfig)
}

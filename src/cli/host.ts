import { dirname } from 'node:path'
import type { Config } from '../config/config.ts'
import { nodeNameOf } from '../config/load.ts'
import { systemClock } from '../core/clock.ts'
import { csiSocketPath } from '../host/csi/csi-server.ts'
import { NodeClaim } from '../host/node-claim.ts'
import { startHost, type RunningHost } from '../host/start-host.ts'
import { TmpfsStore } from '../host/volume/tmpfs-store.ts'
import type { Logger } from '../observability/log.ts'
import { releaseGarbage } from '../syscalls/freed-memory.ts'
import { probeKernel } from '../syscalls/kernel-features.ts'
import { stopInTime, untilAborted } from './lifetime.ts'
import { NODE_CGROUPS } from './node-cgroups.ts'
import { readVersion } from './version.ts'

const ROOT = 0

interface Serving {
  readonly stop: AbortSignal
  /** Who serves the mount socket; left out, whoever owns the folder around it. */
  readonly daemonUid: number | undefined
}

/**
 * Serves the node for as long as no other host process asks for it, as the one of the next version does. Then
 * it waits, and serves again should that one end: a process that ended would be started anew by kubelet, and ask
 * for the node in its turn.
 */
export async function serveNode(
  config: Config,
  log: Logger,
  { stop, daemonUid }: Serving,
): Promise<number> {
  const options = {
    folder: dirname(csiSocketPath(config.kubelet.root, config.driver)),
    clock: systemClock,
    onWait: () => {
      log.info({}, 'another host side serves this node, asked to leave it')
    },
  }
  for (let isFirst = true; ; isFirst = false) {
    const taking = isFirst ? NodeClaim.demand(options, stop) : NodeClaim.inherit(options, stop)
    const claim = await taking.catch((thrown: unknown) => {
      if (stop.aborted) return undefined
      throw thrown
    })
    if (claim === undefined) return 0
    const running = await startHostSide(config, log, daemonUid)
    await Promise.race([untilAborted(stop), claim.asked])
    log.info({}, stop.aborted ? 'stop asked for' : 'another host side asks for this node')
    await stopInTime(running, log)
    claim.release()
    if (stop.aborted) return 0
  }
}

/** The host side as it runs in production: on tmpfs, for a kubelet that is root. */
export function startHostSide(
  config: Config,
  log: Logger,
  daemonUid?: number,
): Promise<RunningHost> {
  const { allowSwap, selinuxContext, maxBytes } = config.volumes
  const store = new TmpfsStore({
    kubeletRoot: config.kubelet.root,
    features: probeKernel(),
    allowSwap,
    maxVolumeBytes: maxBytes,
    selinuxContext,
    now: () => new Date(),
  })
  return startHost({
    config,
    nodeName: nodeNameOf(config),
    version: readVersion(),
    store,
    clock: systemClock,
    log,
    kubeletUid: ROOT,
    daemonUid,
    releaseGarbage,
    cgroups: { root: NODE_CGROUPS, ownPodUid: process.env['POD_UID'] },
  })
}

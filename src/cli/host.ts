import { dirname } from 'node:path'
import type { Config } from '../config/config.ts'
import { loadConfig, nodeNameOf } from '../config/load.ts'
import { systemClock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { MAX_USER_OR_GROUP_ID } from '../core/limits.ts'
import { csiSocketPath } from '../host/csi/csi-server.ts'
import { NodeClaim } from '../host/node-claim.ts'
import { startHost, type RunningHost } from '../host/start-host.ts'
import { TmpfsStore } from '../host/volume/tmpfs-store.ts'
import { createLogger, type Logger } from '../observability/log.ts'
import { overwriteFreedMemory } from '../syscalls/freed-memory.ts'
import { disableCoreDumps } from '../syscalls/hardening.ts'
import { probeKernel } from '../syscalls/kernel-features.ts'
import { listenForStop, stopInTime, untilAborted } from './lifetime.ts'
import { NODE_CGROUPS } from './node-cgroups.ts'
import { readVersion } from './version.ts'

const ROOT = 0

/** `latchkey host`: the side that kubelet talks to. Answers the exit code. */
export async function runHost({ config: file }: { readonly config?: string }): Promise<number> {
  disableCoreDumps()
  overwriteFreedMemory()
  const config = loadConfig({ file, environment: process.env })
  const log = createLogger({ level: config.log.level, side: 'host' })
  const daemonUid = parseDaemonUid(process.env['DAEMON_UID'])
  return serveNode(config, log, { stop: listenForStop(), daemonUid })
}

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
    cgroups: { root: NODE_CGROUPS, ownPodUid: process.env['POD_UID'] },
  })
}

/** Throws: InvalidRequest. */
export function parseDaemonUid(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  const uid = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (uid <= MAX_USER_OR_GROUP_ID) return uid
  throw new LatchkeyError(
    'InvalidRequest',
    'environment variable DAEMON_UID: expected the user id of the daemon, such as 65532',
  )
}

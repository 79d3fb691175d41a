import type { Config } from '../config/config.ts'
import { loadConfig, nodeNameOf } from '../config/load.ts'
import { systemClock } from '../core/clock.ts'
import { startHost, type RunningHost } from '../host/start-host.ts'
import { TmpfsStore } from '../host/volume/tmpfs-store.ts'
import { createLogger, type Logger } from '../observability/log.ts'
import { overwriteFreedMemory } from '../syscalls/freed-memory.ts'
import { disableCoreDumps } from '../syscalls/hardening.ts'
import { probeKernel } from '../syscalls/kernel-features.ts'
import { runUntilSignal } from './lifetime.ts'
import { NODE_CGROUPS } from './node-cgroups.ts'
import { readVersion } from './version.ts'

const ROOT = 0

/** `latchkey host`: the side that kubelet talks to. Answers the exit code. */
export async function runHost({ config: file }: { readonly config?: string }): Promise<number> {
  disableCoreDumps()
  overwriteFreedMemory()
  const config = loadConfig({ file, environment: process.env })
  const log = createLogger({ level: config.log.level, side: 'host' })
  return runUntilSignal(await startHostSide(config, log), log)
}

/** The host side as it runs in production: on tmpfs, for a kubelet that is root. */
export function startHostSide(config: Config, log: Logger): Promise<RunningHost> {
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
    cgroups: { root: NODE_CGROUPS, ownPodUid: process.env['POD_UID'] },
  })
}

import { loadConfig } from '../../src/config/load.ts'
import { systemClock } from '../../src/core/clock.ts'
import { startHost } from '../../src/host/start-host.ts'
import { TmpfsStore } from '../../src/host/volume/tmpfs-store.ts'
import { createLogger } from '../../src/observability/log.ts'
import { probeKernel } from '../../src/syscalls/kernel-features.ts'

/** The program of host-memory.test.ts: the host side on real tmpfs, in a cgroup with a limit of memory. */
export interface LimitedHost {
  readonly kubeletRoot: string
  readonly mountSocket: string
  /** Left out, it follows from the cgroup. */
  readonly tmpfsBytes?: number
}

await start(JSON.parse(process.argv[2] ?? '') as LimitedHost)
process.once('disconnect', () => process.exit(0))
process.send?.('ready')

async function start({ kubeletRoot, mountSocket, tmpfsBytes }: LimitedHost): Promise<void> {
  const config = loadConfig({})
  const { maxBytes } = config.volumes
  await startHost({
    config: {
      ...config,
      kubelet: { root: kubeletRoot },
      sockets: { mount: mountSocket },
      limits: { ...config.limits, tmpfsBytes },
    },
    nodeName: 'node-1',
    version: 'test',
    store: new TmpfsStore({
      kubeletRoot,
      features: probeKernel(),
      allowSwap: true,
      maxVolumeBytes: maxBytes,
      now: () => new Date(),
    }),
    clock: systemClock,
    log: createLogger({ level: 'silent', side: 'host' }),
    kubeletUid: process.getuid?.() ?? -1,
  })
}

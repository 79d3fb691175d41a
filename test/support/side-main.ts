import type { Config } from '../../src/config/config.ts'
import { systemClock } from '../../src/core/clock.ts'
import { loadKubeconfig } from '../../src/daemon/kube/kubeconfig.ts'
import { createKubeClient } from '../../src/daemon/kube/create-client.ts'
import { startDaemon } from '../../src/daemon/start-daemon.ts'
import { startHost } from '../../src/host/start-host.ts'
import { DirectoryStore } from '../../src/host/volume/directory-store.ts'
import { createLogger } from '../../src/observability/log.ts'
import { overwriteFreedMemory, releaseGarbage } from '../../src/syscalls/freed-memory.ts'

/** The program of side-process.ts: one side of Latchkey in a process of its own. */
export interface SideOptions {
  readonly side: 'daemon' | 'host'
  readonly config: Config
  readonly nodeName: string
  readonly kubeconfigFile: string
}

export type Order =
  | { readonly order: 'release garbage' }
  /** Hold this secret in every form; it comes inverted, so that nothing else here shows it. */
  | { readonly order: 'plant'; readonly inverted: readonly number[] }
  | { readonly order: 'stop' }

const planted: unknown[] = []

// As `latchkey` does before it has a secret.
overwriteFreedMemory()
const running = await start(JSON.parse(process.argv[2] ?? '') as SideOptions)
process.on('message', (order: Order) => {
  void obey(order).then(() => process.send?.('done'))
})
process.once('disconnect', () => process.exit(0))
process.send?.('ready')

async function obey(order: Order): Promise<void> {
  switch (order.order) {
    case 'release garbage':
      await releaseGarbage()
      break
    case 'plant':
      plant(Buffer.from(order.inverted.map((byte) => byte ^ 0xff)))
      break
    case 'stop':
      await running.stop()
      process.exit(0)
  }
}

function plant(secret: Buffer): void {
  const text = secret.toString('latin1')
  planted.push(secret, Buffer.from(text, 'utf16le'), Buffer.from(secret.toString('base64')))
}

function start({ side, config, nodeName, kubeconfigFile }: SideOptions) {
  const common = {
    config,
    nodeName,
    version: '0.0.0-test',
    clock: systemClock,
    log: createLogger({ level: 'debug', side, write: () => undefined }),
  }
  const uid = process.getuid?.() ?? -1
  if (side === 'host') {
    const store = new DirectoryStore({ kubeletRoot: config.kubelet.root, now: () => new Date() })
    return startHost({ ...common, store, kubeletUid: uid })
  }
  const kube = createKubeClient({
    connection: loadKubeconfig(kubeconfigFile),
    clock: systemClock,
  })
  return startDaemon({ ...common, kube, shimUid: uid })
}

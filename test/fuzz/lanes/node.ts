import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../../../src/config/config.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { systemClock } from '../../../src/core/clock.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type {
  KubeClient,
  KubeErrands,
  TokenReviewStatus,
} from '../../../src/daemon/kube/kube-client.ts'
import { startDaemon } from '../../../src/daemon/start-daemon.ts'
import { csiSocketPath } from '../../../src/host/csi/csi-server.ts'
import { startHost } from '../../../src/host/start-host.ts'
import { DirectoryStore } from '../../../src/host/volume/directory-store.ts'
import { createLogger } from '../../../src/observability/log.ts'

export interface FuzzedNode {
  readonly kubeletRoot: string
  readonly csiSocket: string
  readonly mountSocket: string
  readonly httpPort: number
  /** Reads of a Secret: nobody here has a right to one. */
  readonly reads: () => number
  close(): Promise<void>
}

/**
 * Both sides as they are started in earnest, over their own sockets, on a node on which every token is
 * genuine and none is of a pod of this node: whatever is served is served to the wrong one.
 */
export async function startNode(): Promise<FuzzedNode> {
  const folder = mkdtempSync('/tmp/lk-fuzz-')
  const kubeletRoot = join(folder, 'kubelet')
  mkdirSync(join(kubeletRoot, 'plugins_registry'), { recursive: true, mode: 0o750 })
  const config: Config = {
    ...loadConfig({}),
    kubelet: { root: kubeletRoot },
    sockets: { mount: join(folder, 'm/mount.sock') },
    http: { address: '127.0.0.1', port: 0 },
  }
  let reads = 0
  const kube = strangers(() => {
    reads += 1
  })
  const log = createLogger({ level: 'silent', side: 'daemon' })
  const uid = process.getuid?.() ?? 0
  const common = { config, nodeName: 'node-1', version: 'fuzz', clock: systemClock, log }
  const daemon = await startDaemon({ ...common, kube, shimUid: uid })
  const store = new DirectoryStore({ kubeletRoot, now: () => new Date() })
  const host = await startHost({ ...common, store, kubeletUid: uid })
  return {
    kubeletRoot,
    csiSocket: csiSocketPath(kubeletRoot, config.driver),
    mountSocket: config.sockets.mount,
    httpPort: daemon.httpPort,
    reads: () => reads,
    async close() {
      await host.stop()
      await daemon.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** An API server that knows every token, as that of a pod of another node. */
function strangers(onRead: () => void): KubeClient & KubeErrands {
  const status: TokenReviewStatus = {
    authenticated: true,
    audiences: ['latchkey'],
    username: 'system:serviceaccount:elsewhere:nobody',
    userUid: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee',
    extra: new Map(
      Object.entries({ 'pod-name': 'other-0', 'pod-uid': 'no-uid', 'node-name': 'node-2' }).map(
        ([key, value]) => [`authentication.kubernetes.io/${key}`, [value]],
      ),
    ),
    error: '',
  }
  return {
    reviewToken: () => Promise.resolve(status),
    readSecret() {
      onRead()
      const data = new Map([['password', new SecretBytes(Buffer.from('handed out'))]])
      return Promise.resolve({ resourceVersion: '1', immutable: false, data })
    },
    // eslint-disable-next-line @typescript-eslint/require-await
    async *watchSecret() {
      onRead()
      yield { type: 'present', resourceVersion: '1' }
    },
    createPodEvent: () => Promise.resolve('created'),
    probeApiServer: () => Promise.reject(new Error('nobody asks')),
    close: () => Promise.resolve(),
  } as unknown as KubeClient & KubeErrands
}

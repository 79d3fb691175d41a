import { setTimeout as pause } from 'node:timers/promises'
import type { Config } from '../../src/config/config.ts'
import { loadConfig } from '../../src/config/load.ts'
import { systemClock } from '../../src/core/clock.ts'
import { SecretBytes } from '../../src/core/secret-bytes.ts'
import { decodeTokenClaims } from '../../src/daemon/identity/token-claims.ts'
import type { KubeClient, KubeErrands } from '../../src/daemon/kube/kube-client.ts'
import { startDaemon } from '../../src/daemon/start-daemon.ts'
import { DirectoryStore } from '../../src/host/volume/directory-store.ts'
import { startHost } from '../../src/host/start-host.ts'
import { createLogger } from '../../src/observability/log.ts'

/** The program of floods.test.ts: one side of Latchkey, beside an API server that believes every token. */
export interface FloodedSide {
  readonly side: 'daemon' | 'host'
  readonly kubeletRoot: string
  readonly mountSocket: string
}

const ANSWER_MS = 20

await start(JSON.parse(process.argv[2] ?? '') as FloodedSide)
process.once('disconnect', () => process.exit(0))
process.send?.('ready')

async function start({ side, kubeletRoot, mountSocket }: FloodedSide): Promise<void> {
  const config: Config = {
    ...loadConfig({}),
    kubelet: { root: kubeletRoot },
    sockets: { mount: mountSocket },
    http: { address: '127.0.0.1', port: 0 },
  }
  const log = createLogger({ level: 'silent', side })
  const common = { config, nodeName: 'node-1', version: 'test', clock: systemClock, log }
  const uid = process.getuid?.() ?? -1
  if (side === 'daemon') await startDaemon({ ...common, kube: believer(), shimUid: uid })
  else {
    const store = new DirectoryStore({ kubeletRoot, now: () => new Date() })
    await startHost({ ...common, store, kubeletUid: uid })
  }
}

/** Who the token says it is, it is; each has a Secret of 1 KiB. */
function believer(): KubeClient & KubeErrands {
  const extraOf = (values: Readonly<Record<string, string>>) =>
    new Map(
      Object.entries(values).map(([key, value]) => [
        `authentication.kubernetes.io/${key}`,
        [value],
      ]),
    )
  const kube: Partial<KubeClient & KubeErrands> = {
    async reviewToken(token) {
      const { namespace, pod, serviceAccount } = decodeTokenClaims(token, 'latchkey')
      await pause(ANSWER_MS)
      return {
        authenticated: true,
        audiences: ['latchkey'],
        username: `system:serviceaccount:${namespace}:${serviceAccount.name}`,
        userUid: serviceAccount.uid,
        extra: extraOf({ 'pod-name': pod.name, 'pod-uid': pod.uid, 'node-name': 'node-1' }),
        error: '',
      }
    },
    async readSecret() {
      await pause(ANSWER_MS)
      const data = new Map([['password', new SecretBytes(Buffer.alloc(1024, 'x'))]])
      return { resourceVersion: '1', immutable: true, data }
    },
    close: () => Promise.resolve(),
  }
  return kube as KubeClient & KubeErrands
}

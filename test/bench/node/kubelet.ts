import { systemClock } from '../../../src/core/clock.ts'
import { volumeIdOf } from '../../../src/core/volume-id.ts'
import { csiSocketPath } from '../../../src/host/csi/csi-server.ts'
import { CsiClient } from '../../../src/minicluster/csi-client.ts'
import { PluginWatcher } from '../../../src/minicluster/plugin-watcher.ts'
import { KUBELET_RETRY } from '../../../src/minicluster/retry-backoff.ts'
import { prepareFolder, volumeFolder } from '../../../src/minicluster/volume-folder.ts'
import { loadCsi } from '../../../src/wire/protos.ts'
import { callCsi } from './csi-call.ts'
import { NAMESPACE, NODE_NAME, type BenchPod, type PodTokens } from './bench-objects.ts'

export const DRIVER = 'csi.latchkey.dev'
const VOLUME = 'db'
const CALL_TIMEOUT_MS = 120_000
const POD = 'csi.storage.k8s.io/'

/** The calls that a kubelet makes to a driver, each over a connection of its own as kubelet's are. */
export class BenchKubelet {
  readonly #root: string
  readonly #node = loadCsi().Node.service
  readonly #call

  constructor(root: string) {
    this.#root = root
    this.#call = { socketPath: csiSocketPath(root, DRIVER), timeoutMs: CALL_TIMEOUT_MS }
  }

  /** Makes the folders that kubelet makes before it calls a driver. */
  prepare(pods: readonly BenchPod[]): void {
    for (const { uid } of pods) {
      const problem = prepareFolder(volumeFolder(this.#root, uid, VOLUME), {
        specVolID: VOLUME,
        volumeHandle: volumeIdOf(uid, VOLUME),
        driverName: DRIVER,
        nodeName: NODE_NAME,
        attachmentID: '',
        volumeLifecycleMode: 'Ephemeral',
      })
      if (problem !== undefined) throw new Error(problem)
    }
  }

  /** Also for the volumes that are there: kubelet publishes them again about once a minute. */
  async publish(pod: BenchPod, tokens: PodTokens = pod.tokens): Promise<void> {
    const { target } = volumeFolder(this.#root, pod.uid, VOLUME)
    const request = {
      volumeId: volumeIdOf(pod.uid, VOLUME),
      targetPath: target,
      volumeCapability: {
        mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
        accessMode: { mode: 'SINGLE_NODE_WRITER' as const },
      },
      readonly: true,
      secrets: { [`${POD}serviceAccount.tokens`]: encodeTokens(tokens) },
      volumeContext: {
        secret: Buffer.from(pod.secret),
        [`${POD}pod.name`]: Buffer.from(pod.name),
        [`${POD}pod.namespace`]: Buffer.from(NAMESPACE),
        [`${POD}pod.uid`]: Buffer.from(pod.uid),
        [`${POD}serviceAccount.name`]: Buffer.from(pod.serviceAccount),
        [`${POD}ephemeral`]: Buffer.from('true'),
      },
    }
    const { path, requestSerialize } = this.#node.NodePublishVolume
    await callCsi({ ...this.#call, path, message: requestSerialize(request) })
  }

  async unpublish({ uid }: BenchPod): Promise<void> {
    const { target } = volumeFolder(this.#root, uid, VOLUME)
    const volumeId = volumeIdOf(uid, VOLUME)
    const { path, requestSerialize } = this.#node.NodeUnpublishVolume
    const message = requestSerialize({ volumeId, targetPath: target })
    await callCsi({ ...this.#call, path, message })
  }

  /** Registers the driver as soon as its socket appears; resolves when the driver has been told that it is. */
  async register(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const watcher = new PluginWatcher({
      folder: `${this.#root}/plugins_registry`,
      clock: systemClock,
      csi: new CsiClient(systemClock),
      retry: KUBELET_RETRY,
      onChange: resolve,
    })
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error)
    })
    watcher.start()
    try {
      await promise
    } finally {
      watcher.stop()
    }
  }
}

function encodeTokens({ latchkey, api }: PodTokens): Buffer {
  const entry = (token: string): object => {
    const [, claims = ''] = token.split('.')
    const { exp } = JSON.parse(Buffer.from(claims, 'base64url').toString()) as { exp: number }
    return { token, expirationTimestamp: new Date(exp * 1000).toISOString().replace('.000', '') }
  }
  return Buffer.from(JSON.stringify({ latchkey: entry(latchkey), '': entry(api) }))
}

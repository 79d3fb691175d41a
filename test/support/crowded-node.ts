import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { systemClock } from '../../src/core/clock.ts'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import { CsiServer, csiSocketPath } from '../../src/host/csi/csi-server.ts'
import { TmpfsStore } from '../../src/host/volume/tmpfs-store.ts'
import type { VolumeRef } from '../../src/host/volume/volume-store.ts'
import { Volumes } from '../../src/host/volumes.ts'
import { CsiClient } from '../../src/minicluster/csi-client.ts'
import type { RpcResult } from '../../src/minicluster/rpc.ts'
import { createHostMetrics } from '../../src/observability/host-metrics.ts'
import { createLogger } from '../../src/observability/log.ts'
import { probeKernel } from '../../src/syscalls/kernel-features.ts'
import { ScriptedStream } from './scripted-daemon.ts'

const DRIVER = 'csi.latchkey.dev'
const MAX_VOLUME_BYTES = 4 * 1024 * 1024
const CALL_TIMEOUT_MS = 120_000
const TOKENS_KEY = 'csi.storage.k8s.io/serviceAccount.tokens'

export interface CrowdedHost {
  stop(): Promise<void>
}

/** kubelet's part: each call over a connection of its own. Throws: Error, with the driver's words. */
export interface Caller {
  /** Volume `index`, each of a pod of its own. */
  volume(index: number): VolumeRef
  publish(index: number): Promise<void>
  unpublish(index: number): Promise<void>
}

/**
 * The host side on real tmpfs behind its real CSI socket, for a process in a mount namespace of its own. Its
 * daemon answers every volume at once, with these files.
 */
export async function startCrowdedHost(
  kubeletRoot: string,
  files: Readonly<Record<string, string>>,
): Promise<CrowdedHost> {
  const log = createLogger({ level: 'silent', side: 'host' })
  const volumes = new Volumes({
    store: tmpfsStore(kubeletRoot),
    link: {
      mount(signal) {
        const stream = new ScriptedStream(signal)
        stream.contents(1, files)
        return stream
      },
      report() {
        throw new Error('nothing is reported here')
      },
    },
    clock: systemClock,
    log,
    metrics: createHostMetrics({ version: 'test' }),
    maxPublishes: 512,
    maxVolumeBytes: MAX_VOLUME_BYTES,
    lingerMs: 2_000,
    maxFileBytes: 2 ** 30,
  })
  mkdirSync(`${kubeletRoot}/plugins_registry`)
  const server = await CsiServer.start({
    driver: DRIVER,
    version: '0.0.0-test',
    nodeName: 'node-1',
    kubeletRoot,
    volumes,
    maxConnections: 1024,
    clock: systemClock,
    log,
    onDone: () => undefined,
    onRegistration: () => undefined,
    admits: () => true,
  })
  return {
    async stop() {
      volumes.stop()
      await server.stop()
    },
  }
}

export function createCaller(
  kubeletRoot: string,
  namespaceOf: (index: number) => string = () => 'shop',
): Caller {
  const client = new CsiClient(systemClock)
  const call = {
    socketPath: csiSocketPath(kubeletRoot, DRIVER),
    timeoutMs: CALL_TIMEOUT_MS,
    signal: new AbortController().signal,
  }
  const volume = (index: number): VolumeRef => volumeOf(kubeletRoot, index)
  return {
    volume,
    async publish(index) {
      const ref = volume(index)
      mkdirSync(dirname(ref.targetPath), { recursive: true, mode: 0o750 })
      succeed(await client.publish(call, publishRequest(ref, index, namespaceOf(index))))
    },
    async unpublish(index) {
      succeed(await client.unpublish(call, volume(index)))
    },
  }
}

function tmpfsStore(kubeletRoot: string): TmpfsStore {
  return new TmpfsStore({
    kubeletRoot,
    features: probeKernel(),
    allowSwap: true,
    maxVolumeBytes: MAX_VOLUME_BYTES,
    now: () => new Date(),
  })
}

function podUidOf(index: number): string {
  return `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`
}

function volumeOf(kubeletRoot: string, index: number): VolumeRef {
  const uid = podUidOf(index)
  const targetPath = `${kubeletRoot}/pods/${uid}/volumes/kubernetes.io~csi/db/mount`
  return { volumeId: volumeIdOf(uid, 'db'), targetPath }
}

function publishRequest({ volumeId, targetPath }: VolumeRef, index: number, namespace: string) {
  const tokens = {
    latchkey: { token: 'aGVhZA.Ym9keQ.c2ln', expirationTimestamp: '2999-01-01T00:00:00Z' },
  }
  return {
    volumeId,
    targetPath,
    volumeCapability: {
      mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
      accessMode: { mode: 'SINGLE_NODE_WRITER' as const },
    },
    readonly: true,
    secrets: { [TOKENS_KEY]: Buffer.from(JSON.stringify(tokens)) },
    volumeContext: {
      secret: Buffer.from('db'),
      'csi.storage.k8s.io/pod.name': Buffer.from(`api-${index}`),
      'csi.storage.k8s.io/pod.namespace': Buffer.from(namespace),
      'csi.storage.k8s.io/pod.uid': Buffer.from(podUidOf(index)),
      'csi.storage.k8s.io/serviceAccount.name': Buffer.from('api'),
      'csi.storage.k8s.io/ephemeral': Buffer.from('true'),
    },
  }
}

function succeed({ failure }: RpcResult<unknown>): void {
  if (failure !== undefined) throw new Error(failure.details)
}

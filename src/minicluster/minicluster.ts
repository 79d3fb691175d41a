import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../core/clock.ts'
import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { ApiServer } from './api-server.ts'
import { ClusterObjects } from './cluster-objects.ts'
import { Kubelet } from './kubelet.ts'
import type { KubeletSettings } from './kubelet.ts'
import type { ServingPki } from './pki.ts'
import { findMountPoints } from './volume-folder.ts'

export interface MiniclusterOptions {
  /** A folder for everything that needs one; short, for unix sockets will lie in it. */
  readonly root: string
  readonly nodeName?: string
  readonly clock?: Clock
  /** Default: one of its own; a test file shares one, for keys take long to make. */
  readonly pki?: ServingPki
  readonly kubelet?: KubeletSettings
}

export interface Minicluster {
  readonly nodeName: string
  /** Secrets, service accounts, pods, grants: what kubectl would make. */
  readonly objects: ClusterObjects
  readonly api: ApiServer
  readonly kubelet: Kubelet
  /** The kubelet's folder, as /var/lib/kubelet; plugins and plugins_registry are in it. */
  readonly kubeletRoot: string
  /** For the daemon: the CA and a token that may create tokenreviews, mode 0600. */
  readonly kubeconfigFile: string
  /**
   * Deletes the pods while there is a driver to unpublish their volumes, and leaves nothing of its own.
   * Throws: VolumeIo where something is mounted still.
   */
  stop(): Promise<void>
}

// sockaddr_un holds 107 bytes of path; sockets are made under a hidden name that is 8 bytes longer.
const MAX_SOCKET_PATH_BYTES = 107 - 8
const DRAIN_MS = 10_000
const LONGEST_SOCKET = 'plugins_registry/csi.latchkey.dev-reg.sock'

/** An API server and a kubelet for one node, in this process. Throws: InvalidRequest (root). */
export async function startMinicluster(options: MiniclusterOptions): Promise<Minicluster> {
  const { root, nodeName = 'node-1', clock = systemClock, pki } = options
  const kubeletRoot = join(root, 'kubelet')
  const tooLong = Buffer.byteLength(join(kubeletRoot, LONGEST_SOCKET)) - MAX_SOCKET_PATH_BYTES
  if (tooLong > 0) {
    throw new LatchkeyError(
      'InvalidRequest',
      `root: ${root} is ${tooLong} bytes too long for unix sockets below it`,
    )
  }
  mkdirSync(root, { recursive: true, mode: 0o700 })
  const objects = new ClusterObjects(clock)
  const api = await ApiServer.start({ objects, clock, ...(pki === undefined ? {} : { pki }) })
  const kubeconfigFile = join(root, 'kubeconfig')
  writeFileSync(kubeconfigFile, api.daemonKubeconfig(), { mode: 0o600 })
  const isApiUp = (): boolean => api.isUp
  const own = { root: kubeletRoot, nodeName, objects, isApiUp, clock }
  const kubelet = new Kubelet({ ...options.kubelet, ...own })
  kubelet.start()
  return {
    nodeName,
    objects,
    api,
    kubelet,
    kubeletRoot,
    kubeconfigFile,
    async stop() {
      // What is left mounted is found below.
      await kubelet.drain(DRAIN_MS, true).catch(() => undefined)
      await kubelet.stop()
      await api.stop()
      objects.secrets.wipe()
      removeFiles(kubeletRoot, kubeconfigFile)
    },
  }
}

function removeFiles(kubeletRoot: string, kubeconfigFile: string): void {
  rmSync(kubeconfigFile, { force: true })
  // A driver left before its pods did; what is mounted is not ours to empty.
  const [mounted] = findMountPoints(kubeletRoot)
  if (mounted !== undefined) {
    throw new LatchkeyError('VolumeIo', `${mounted}: is mounted still, and was not removed`)
  }
  rmSync(kubeletRoot, { recursive: true, force: true })
}

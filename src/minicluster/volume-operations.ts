import { createHash } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { volumeIdOf } from '../core/volume-id.ts'
import type { CsiCall, CsiClient } from './csi-client.ts'
import type { CsiDriver } from './csi-driver.ts'
import type { PluginWatcher } from './plugin-watcher.ts'
import type { PodTokens } from './pod-tokens.ts'
import type { PodVolume, StoredPod } from './pod-store.ts'
import { buildPublishRequest } from './publish-request.ts'
import { formatFailure, isUncertain } from './rpc.ts'
import type { RpcFailure } from './rpc.ts'
import { isMountPoint, prepareFolder, removeFolder } from './volume-folder.ts'
import type { VolumeData, VolumeFolder } from './volume-folder.ts'

export interface OperationParts {
  readonly clock: Clock
  readonly csi: CsiClient
  readonly plugins: PluginWatcher
  readonly tokens: PodTokens
  readonly csiDrivers: readonly CsiDriver[]
}

export interface PublishTask {
  readonly pod: StoredPod
  readonly volume: PodVolume
  readonly folder: VolumeFolder
  readonly round: number
  /** Whether a final error takes the folder away: not once the volume was mounted, or may have been. */
  readonly cleansUp: boolean
  readonly signal: AbortSignal
}

/** `final`: the driver has done nothing; `uncertain`: it may have; `transient`: it was not asked. */
export type PublishOutcome =
  | { readonly kind: 'mounted' }
  | { readonly kind: 'final' | 'uncertain' | 'transient'; readonly message: string }

export type UnpublishOutcome =
  { readonly kind: 'removed' } | { readonly kind: 'failed' | 'stuck'; readonly message: string }

/** kubelet's csiTimeout: for the questions and the publish together. */
const OPERATION_MS = 120_000

/** kubelet's SetUpAt for an inline CSI volume. */
export async function publishVolume(
  parts: OperationParts,
  task: PublishTask,
): Promise<PublishOutcome> {
  const { volume, pod, folder } = task
  const { driver: name } = volume.csi
  const endpoint = parts.plugins.find(name)?.endpoint
  if (endpoint === undefined) return transient(`failed to get CSI client: ${notRegistered(name)}`)
  const driver = parts.csiDrivers.find((each) => each.name === name)
  if (driver === undefined) {
    const why = `volume mode "Ephemeral" not supported by driver ${name} (no CSIDriver object)`
    return transient(`failed to check volume lifecycle mode: ${why}`)
  }
  const startedMs = parts.clock.now()
  const call = (): CsiCall => ({
    socketPath: endpoint,
    timeoutMs: Math.max(1, OPERATION_MS - (parts.clock.now() - startedMs)),
    signal: task.signal,
  })
  const abilities = await parts.csi.getCapabilities(call())
  if (abilities.failure !== undefined) {
    const what = 'failed to determine if the node service has VOLUME_MOUNT_GROUP capability'
    return transient(`${what}: ${formatFailure(abilities.failure)}`)
  }
  const tokens = encodeTokens(parts, pod, driver)
  if (tokens instanceof LatchkeyError) {
    return transient(`failed to get service account token attributes: ${tokens.message}`)
  }
  const obstacle = prepareFolder(folder, volumeData(task))
  if (obstacle !== undefined) return transient(obstacle)
  // Asked again, for SINGLE_NODE_MULTI_WRITER.
  const again = await parts.csi.getCapabilities(call())
  const canMountGroup = abilities.value.includes('VOLUME_MOUNT_GROUP')
  const request = buildPublishRequest({ ...task, driver, tokens, canMountGroup })
  const { failure } = again.failure === undefined ? await parts.csi.publish(call(), request) : again
  tokens?.fill(0)
  return failure === undefined ? { kind: 'mounted' } : publishFailed(failure, task)
}

/** kubelet's TearDownAt. */
export async function unpublishVolume(
  parts: OperationParts,
  driverName: string,
  volumeId: string,
  folder: VolumeFolder,
  signal: AbortSignal,
): Promise<UnpublishOutcome> {
  const endpoint = parts.plugins.find(driverName)?.endpoint
  if (endpoint === undefined) return { kind: 'failed', message: notRegistered(driverName) }
  const call = { socketPath: endpoint, timeoutMs: OPERATION_MS, signal }
  const request = { volumeId, targetPath: folder.target }
  const { failure } = await parts.csi.unpublish(call, request)
  if (failure !== undefined) return { kind: 'failed', message: formatFailure(failure) }
  const obstacle = removeFolder(folder)
  if (obstacle !== undefined) return { kind: 'failed', message: obstacle }
  if (!isMountPoint(folder.target)) return { kind: 'removed' }
  // kubelet believes the driver and does not ask again; the pod hangs.
  return { kind: 'stuck', message: `${folder.target} is a mount point after NodeUnpublishVolume` }
}

function publishFailed(failure: RpcFailure, task: PublishTask): PublishOutcome {
  const message = formatFailure(failure)
  if (isUncertain(failure)) return { kind: 'uncertain', message }
  if (!task.cleansUp) return { kind: 'final', message }
  const obstacle = removeFolder(task.folder)
  return { kind: 'final', message: obstacle ?? message }
}

function encodeTokens(
  { tokens }: OperationParts,
  pod: StoredPod,
  { tokenRequests }: CsiDriver,
): Buffer | undefined | LatchkeyError {
  if (tokenRequests.length === 0) return undefined
  try {
    return tokens.encode(pod, tokenRequests)
  } catch (thrown) {
    return LatchkeyError.from(thrown)
  }
}

function volumeData({ pod, volume }: PublishTask): VolumeData {
  const volumeHandle = volumeIdOf(pod.uid, volume.name)
  const { driver: driverName } = volume.csi
  const nodeName = pod.node.name
  const attachment = createHash('sha256').update(volumeHandle + driverName + nodeName)
  return {
    specVolID: volume.name,
    volumeHandle,
    driverName,
    nodeName,
    attachmentID: `csi-${attachment.digest('hex')}`,
    volumeLifecycleMode: 'Ephemeral',
  }
}

function transient(message: string): PublishOutcome {
  return { kind: 'transient', message: `kubernetes.io/csi: mounter.SetUpAt ${message}` }
}

function notRegistered(name: string): string {
  return `driver name ${name} not found in the list of registered CSI drivers`
}

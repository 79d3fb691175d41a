import { volumeIdOf } from '../core/volume-id.ts'
import type { NodePublishVolumeRequest } from '../wire/gen/csi/v1/NodePublishVolumeRequest.ts'
import type { CsiDriver } from './csi-driver.ts'
import type { PodVolume, StoredPod } from './pod-store.ts'
import type { VolumeFolder } from './volume-folder.ts'

export interface PublishRequestParts {
  readonly pod: StoredPod
  readonly volume: PodVolume
  readonly driver: CsiDriver
  readonly folder: VolumeFolder
  /** Encoded; undefined: the driver asks for none. */
  readonly tokens: Buffer | undefined
  readonly canMountGroup: boolean
  /** How often this volume was published before. */
  readonly round: number
}

const PREFIX = 'csi.storage.k8s.io/'
const TOKENS = `${PREFIX}serviceAccount.tokens`

/** NodePublishVolumeRequest, field by field as kubelet fills it for an inline volume. */
export function buildPublishRequest(parts: PublishRequestParts): NodePublishVolumeRequest {
  const { pod, volume, driver, folder, tokens, canMountGroup, round } = parts
  const { readOnly = false, fsType = '', volumeAttributes = {} } = volume.csi
  const inSecrets = driver.serviceAccountTokenInSecrets
  const context = {
    ...bytesOf(volumeAttributes),
    // After the pod's own attributes, so that a pod cannot forge what kubelet says.
    ...(driver.podInfoOnMount ? bytesOf(podInfo(pod)) : {}),
    ...(tokens === undefined || inSecrets ? {} : { [TOKENS]: tokens }),
  }
  const group = canMountGroup && pod.fsGroup !== undefined ? String(pod.fsGroup) : ''
  return {
    volumeId: volumeIdOf(pod.uid, volume.name),
    publishContext: {},
    stagingTargetPath: '',
    targetPath: folder.target,
    volumeCapability: {
      mount: { fsType, mountFlags: [], volumeMountGroup: group },
      accessMode: { mode: 'SINGLE_NODE_WRITER' },
    },
    readonly: readOnly,
    secrets: tokens !== undefined && inSecrets ? { [TOKENS]: tokens } : {},
    volumeContext: turned(context, round),
  }
}

function podInfo(pod: StoredPod): Readonly<Record<string, string>> {
  return {
    [`${PREFIX}pod.name`]: pod.name,
    [`${PREFIX}pod.namespace`]: pod.namespace,
    [`${PREFIX}pod.uid`]: pod.uid,
    [`${PREFIX}serviceAccount.name`]: pod.serviceAccount,
    [`${PREFIX}ephemeral`]: 'true',
  }
}

/** Go's maps come in another order each time; a driver must not see a difference in that. */
function turned(context: Readonly<Record<string, Buffer>>, round: number): Record<string, Buffer> {
  const entries = Object.entries(context)
  const offset = entries.length === 0 ? 0 : round % entries.length
  return Object.fromEntries([...entries.slice(offset), ...entries.slice(0, offset)])
}

function bytesOf(texts: Readonly<Record<string, string>>): Record<string, Buffer> {
  return Object.fromEntries(Object.entries(texts).map(([key, text]) => [key, Buffer.from(text)]))
}

import { isUtf8 } from 'node:buffer'
import { LatchkeyError } from '../../core/errors.ts'
import { isDnsLabel, isDnsSubdomain } from '../../core/kube-names.ts'
import { MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, MAX_USER_OR_GROUP_ID } from '../../core/limits.ts'
import { parseTargetPath } from '../../core/target-path.ts'
import type { Pod, VolumeRequest } from '../../core/types.ts'
import { volumeIdOf } from '../../core/volume-id.ts'
import type { NodePublishVolumeRequest__Output } from '../../wire/gen/csi/v1/NodePublishVolumeRequest.ts'
import type { VolumeCapability__Output } from '../../wire/gen/csi/v1/VolumeCapability.ts'
import { parseServiceTokens } from './service-tokens.ts'

/** kubelet's own keys among the attributes; it overwrites what a pod's author put there. */
const PREFIX = 'csi.storage.k8s.io/'
const POD_NAME = `${PREFIX}pod.name`
const POD_NAMESPACE = `${PREFIX}pod.namespace`
const POD_UID = `${PREFIX}pod.uid`
const SERVICE_ACCOUNT = `${PREFIX}serviceAccount.name`
const EPHEMERAL = `${PREFIX}ephemeral`
const TOKENS = `${PREFIX}serviceAccount.tokens`
const KUBELET_KEYS: readonly string[] = [
  POD_NAME,
  POD_NAMESPACE,
  POD_UID,
  SERVICE_ACCOUNT,
  EPHEMERAL,
  TOKENS,
]

/**
 * kubelet's words made into ours. The secrets of the request are zeroed on return: what is needed of them
 * has been copied, and a refused request is to leave no token behind either.
 *
 * Throws: InvalidRequest · TokenMissing; the message names the field to fix.
 */
export function parsePublishRequest(
  request: NodePublishVolumeRequest__Output,
  kubeletRoot: string,
): VolumeRequest {
  try {
    return parse(request, kubeletRoot)
  } finally {
    for (const secret of Object.values(request.secrets)) secret.fill(0)
    if (Object.hasOwn(request.volumeContext, TOKENS)) request.volumeContext[TOKENS]?.fill(0)
  }
}

// Shape comes first and in the order of the CSI spec, so that a caller that is no kubelet is told about
// its call before anything about pods.
function parse(request: NodePublishVolumeRequest__Output, kubeletRoot: string): VolumeRequest {
  if (request.volumeId === '') refuse('volume_id', 'is missing')
  if (request.targetPath === '') refuse('target_path', 'is missing')
  const fsGroup = parseCapability(request.volumeCapability)
  if (!request.readonly) refuse('spec.volumes[].csi.readOnly', 'must be true')
  if (request.stagingTargetPath !== '') refuse('staging_target_path', 'must be empty')
  if (Object.keys(request.publishContext).length > 0) refuse('publish_context', 'must be empty')

  const context = readContext(request.volumeContext)
  if (context.get(EPHEMERAL) !== 'true') {
    refuse(EPHEMERAL, 'must be "true": only inline volumes of a pod are served')
  }
  const pod = parsePod(context)
  const { targetPath, volumeId } = request
  const target = parseTargetPath(targetPath, kubeletRoot)
  if (target.podUid !== pod.uid) refuse('target_path', 'belongs to another pod uid')
  if (volumeId !== volumeIdOf(pod.uid, target.volumeName)) {
    refuse('volume_id', 'is not the one that kubelet gives this pod and volume name')
  }
  // Before the tokens, so that a bad request never makes copies of them.
  const attributes = attributesOf(context)
  const tokens = parseServiceTokens(tokensOf(request), Object.keys(request.secrets), TOKENS)
  return { volumeId, targetPath, pod, tokens, attributes, fsGroup }
}

/** Answers the fsGroup. */
function parseCapability(capability: VolumeCapability__Output | null): number | undefined {
  if (capability === null) return refuse('volume_capability', 'is missing')
  const { mount } = capability
  if (mount == null) return refuse('volume_capability', 'must ask for a mount, not a block device')
  if (mount.fsType !== '')
    refuse('spec.volumes[].csi.fsType', 'must not be set: it is always tmpfs')
  if (mount.mountFlags.length > 0) refuse('volume_capability.mount.mount_flags', 'must be empty')
  if (mount.volumeMountGroup === '') return undefined
  const gid = /^\d{1,10}$/.test(mount.volumeMountGroup) ? Number(mount.volumeMountGroup) : Infinity
  if (gid > MAX_USER_OR_GROUP_ID) refuse('spec.securityContext.fsGroup', 'is not a group id')
  return gid
}

function parsePod(context: ReadonlyMap<string, string>): Pod {
  const required = (key: string): string => {
    const value = context.get(key)
    if (value !== undefined && value !== '') return value
    return refuse(key, 'is missing: the CSIDriver needs podInfoOnMount: true')
  }
  const pod = {
    namespace: required(POD_NAMESPACE),
    name: required(POD_NAME),
    uid: required(POD_UID),
    serviceAccount: required(SERVICE_ACCOUNT),
  }
  if (!isDnsLabel(pod.namespace)) refuse(POD_NAMESPACE, 'is not a Kubernetes name')
  if (!isDnsSubdomain(pod.name)) refuse(POD_NAME, 'is not a Kubernetes name')
  if (!isDnsSubdomain(pod.serviceAccount)) refuse(SERVICE_ACCOUNT, 'is not a Kubernetes name')
  return pod
}

function readContext(context: Readonly<Record<string, Buffer>>): ReadonlyMap<string, string> {
  const entries = Object.entries(context).filter(([key]) => key !== TOKENS)
  const bytes = entries.reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + value.length,
    0,
  )
  if (entries.length > MAX_ATTRIBUTES || bytes > MAX_ATTRIBUTE_BYTES) {
    refuse(
      'volumeAttributes',
      `are more than ${MAX_ATTRIBUTES} or longer than ${MAX_ATTRIBUTE_BYTES} bytes together`,
    )
  }
  return new Map(entries.map(([key, value]) => [key, readText(key, value)]))
}

function readText(key: string, value: Buffer): string {
  // protobufjs gives an empty list for an entry that has no value on the wire.
  if (value.length === 0) return ''
  if (isUtf8(value)) return value.toString()
  return refuse(`volumeAttributes.${printable(key)}`, 'is not valid UTF-8')
}

/** What the pod's author wrote. Who forges a key of kubelet's that kubelet does not set is refused. */
function attributesOf(context: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  for (const key of context.keys()) {
    if (key.startsWith(PREFIX) && !KUBELET_KEYS.includes(key)) {
      refuse(`volumeAttributes.${printable(key)}`, `is reserved: ${PREFIX} belongs to kubelet`)
    }
  }
  return new Map([...context].filter(([key]) => !key.startsWith(PREFIX)))
}

/** In `secrets` where the CSIDriver says serviceAccountTokenInSecrets, else among the attributes. */
function tokensOf(request: NodePublishVolumeRequest__Output): Buffer | undefined {
  const read = (map: Readonly<Record<string, Buffer>>): Buffer | undefined =>
    Object.hasOwn(map, TOKENS) ? map[TOKENS] : undefined
  return read(request.secrets) ?? read(request.volumeContext)
}

function printable(key: string): string {
  return JSON.stringify(key.slice(0, 64)).slice(1, -1)
}

function refuse(field: string, why: string): never {
  throw new LatchkeyError('InvalidRequest', `${field} ${why}`)
}

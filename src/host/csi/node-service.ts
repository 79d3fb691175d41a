import { LatchkeyError } from '../../core/errors.ts'
import { parseTargetPath } from '../../core/target-path.ts'
import type { VolumeRequest } from '../../core/types.ts'
import { volumeIdOf } from '../../core/volume-id.ts'
import type { NodeHandlers } from '../../wire/gen/csi/v1/Node.ts'
import type { NodeGetVolumeStatsRequest__Output } from '../../wire/gen/csi/v1/NodeGetVolumeStatsRequest.ts'
import type { NodeGetVolumeStatsResponse } from '../../wire/gen/csi/v1/NodeGetVolumeStatsResponse.ts'
import type { NodePublishVolumeRequest__Output } from '../../wire/gen/csi/v1/NodePublishVolumeRequest.ts'
import type { NodeUnpublishVolumeRequest__Output } from '../../wire/gen/csi/v1/NodeUnpublishVolumeRequest.ts'
import { unary, type UnaryOptions } from '../../wire/unary.ts'
import { parsePublishRequest } from './publish-request.ts'
import type { VolumePort } from './volume-port.ts'

export interface NodeOptions {
  readonly nodeName: string
  readonly kubeletRoot: string
  readonly volumes: VolumePort
}

/** The CSI Node service of a driver for inline volumes; error codes by the spec's tables. */
export function nodeService(options: NodeOptions, calls: UnaryOptions): NodeHandlers {
  const { nodeName, kubeletRoot, volumes } = options
  return {
    NodeGetInfo: unary('NodeGetInfo', calls, () => ({ nodeId: nodeName })),

    NodeGetCapabilities: unary('NodeGetCapabilities', calls, () => ({
      capabilities: [
        { rpc: { type: 'GET_VOLUME_STATS' } },
        { rpc: { type: 'VOLUME_MOUNT_GROUP' } },
      ],
    })),

    NodePublishVolume: unary(
      'NodePublishVolume',
      calls,
      async (request: NodePublishVolumeRequest__Output, signal) => {
        const parsed = parseUnlessInPlace(request, options)
        if (parsed !== undefined) await volumes.publish(parsed, signal)
        return {}
      },
    ),

    NodeUnpublishVolume: unary(
      'NodeUnpublishVolume',
      calls,
      async ({ volumeId, targetPath }: NodeUnpublishVolumeRequest__Output) => {
        require(volumeId, 'volume_id')
        require(targetPath, 'target_path')
        const { podUid, volumeName } = parseTargetPath(targetPath, kubeletRoot)
        // An id at another volume's path would stop the one and remove the other. kubelet sends the
        // id that it made of this very path, so this strands no pod.
        if (volumeId !== volumeIdOf(podUid, volumeName)) {
          throw new LatchkeyError('InvalidRequest', 'volume_id is not that of target_path')
        }
        await volumes.unpublish({ volumeId, targetPath })
        return {}
      },
    ),

    NodeGetVolumeStats: unary('NodeGetVolumeStats', calls, (request) => stats(request, volumes)),
  }
}

/**
 * undefined: not to be read, but for a volume that is in place. Its pod runs with what it has, and a final
 * error has a kubelet without the fix of kubernetes#121271 take the files away for good.
 */
function parseUnlessInPlace(
  request: NodePublishVolumeRequest__Output,
  { kubeletRoot, volumes }: NodeOptions,
): VolumeRequest | undefined {
  const { volumeId, targetPath } = request
  try {
    return parsePublishRequest(request, kubeletRoot)
  } catch (thrown) {
    if (volumes.revisit({ volumeId, targetPath }, LatchkeyError.from(thrown))) return undefined
    throw thrown
  }
}

function stats(
  { volumeId, volumePath }: NodeGetVolumeStatsRequest__Output,
  volumes: VolumePort,
): NodeGetVolumeStatsResponse {
  require(volumeId, 'volume_id')
  require(volumePath, 'volume_path')
  const found = volumes.stats({ volumeId, targetPath: volumePath })
  if (found === undefined) {
    throw new LatchkeyError('VolumeNotFound', 'no such volume at volume_path')
  }
  const { bytes, inodes } = found
  return {
    usage: [
      { ...bytes, unit: 'BYTES' },
      { ...inodes, unit: 'INODES' },
    ],
  }
}

function require(value: string, field: string): void {
  if (value === '') throw new LatchkeyError('InvalidRequest', `${field} is missing`)
}

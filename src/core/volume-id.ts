import { createHash } from 'node:crypto'

/** kubelet's handle of an inline volume: makeVolumeHandle in its pkg/volume/csi/csi_mounter.go. */
export function volumeIdOf(podUid: string, volumeName: string): string {
  return `csi-${createHash('sha256').update(podUid).update(volumeName).digest('hex')}`
}

import { createHash } from 'node:crypto'

const VOLUME_ID = /^csi-[0-9a-f]{64}$/

export function isVolumeId(text: string): boolean {
  return VOLUME_ID.test(text)
}

/** kubelet's handle of an inline volume: makeVolumeHandle in its pkg/volume/csi/csi_mounter.go. */
export function volumeIdOf(podUid: string, volumeName: string): string {
  return `csi-${createHash('sha256').update(podUid).update(volumeName).digest('hex')}`
}

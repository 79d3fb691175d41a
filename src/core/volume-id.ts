import { hash } from 'node:crypto'

/** kubelet's handle of an inline volume: makeVolumeHandle in its pkg/volume/csi/csi_mounter.go. */
export function volumeIdOf(podUid: string, volumeName: string): string {
  return `csi-${hash('sha256', podUid + volumeName, 'hex')}`
}

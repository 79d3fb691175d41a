import type { VolumeRequest } from '../../core/types.ts'
import type { Volume, VolumeStats } from '../volume/volume-store.ts'

type VolumeName = Pick<Volume, 'volumeId' | 'targetPath'>

/** What the CSI services need of the host's story. */
export interface VolumePort {
  publish(request: VolumeRequest, signal: AbortSignal): Promise<void>
  unpublish(volume: VolumeName): Promise<void>
  /** undefined: no such volume at that place. */
  stats(volume: VolumeName): VolumeStats | undefined
}

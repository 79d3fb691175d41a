import type { VolumeRequest } from '../../core/types.ts'
import type { VolumeRef, VolumeStats } from '../volume/volume-store.ts'

/** What the CSI services need of the host's story. */
export interface VolumePort {
  publish(request: VolumeRequest, signal: AbortSignal): Promise<void>
  unpublish(volume: VolumeRef): Promise<void>
  /** undefined: no such volume at that place. */
  stats(volume: VolumeRef): VolumeStats | undefined
}

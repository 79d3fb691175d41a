import type { LatchkeyError } from '../../core/errors.ts'
import type { VolumeRequest } from '../../core/types.ts'
import type { VolumeRef, VolumeStats } from '../volume/volume-store.ts'

/** What the CSI services need of the host's story. */
export interface VolumePort {
  publish(request: VolumeRequest, signal: AbortSignal): Promise<void>
  /** Takes a publish call that cannot be read for a visit to a volume in place; false: there is none. */
  revisit(volume: VolumeRef, why: LatchkeyError): boolean
  unpublish(volume: VolumeRef): Promise<void>
  /** undefined: no such volume at that place. */
  stats(volume: VolumeRef): VolumeStats | undefined
}

import { LatchkeyError } from '../core/errors.ts'
import type { VolumeRequest } from '../core/types.ts'

/** Throws: VolumeConflict where a volume of this id is being published otherwise. */
export function refuseConflict(pending: VolumeRequest | undefined, request: VolumeRequest): void {
  if (pending === undefined || isSameVolume(pending, request)) return
  throw new LatchkeyError(
    'VolumeConflict',
    'this volume is being published with a different target or other volumeAttributes',
  )
}

/** kubelet's order of attributes changes from call to call, and tokens come and go. */
export function isSameVolume(a: VolumeRequest, b: VolumeRequest): boolean {
  return (
    a.targetPath === b.targetPath &&
    a.attributes.size === b.attributes.size &&
    [...a.attributes].every(([key, value]) => b.attributes.get(key) === value)
  )
}

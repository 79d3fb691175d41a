import { lstat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { hasCode } from '../volume/volume-io.ts'
import type { VolumeRef } from '../volume/volume-store.ts'

/** Lies beside the target from before the first publish until after the unpublish: csi_mounter.go of kubelet. */
const RECORD = 'vol_data.json'

/**
 * Whether kubelet has lost what it knows of a volume: without its record it will never unpublish it, not
 * even after a restart. Where nothing can be said, as where kubelet's own folder is not there or not
 * readable, the record counts as being there. Never throws.
 */
export async function isRecordGone(
  kubeletRoot: string,
  { targetPath }: VolumeRef,
): Promise<boolean> {
  if (!(await isMissing(join(dirname(targetPath), RECORD)))) return false
  // A kubelet folder whose disk is not mounted has lost nobody's record.
  return !(await isMissing(join(kubeletRoot, 'pods')))
}

async function isMissing(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return false
  } catch (thrown) {
    return hasCode(thrown, 'ENOENT', 'ENOTDIR')
  }
}

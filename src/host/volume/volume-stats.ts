import { statfsSync } from 'node:fs'
import type { Usage, VolumeStats } from './volume-store.ts'

/** Space and inodes of the file system that `path` lies on. Throws: errors of node:fs. */
export function readStats(path: string): VolumeStats {
  const { bsize, blocks, bavail, files, ffree } = statfsSync(path)
  return { bytes: usage(blocks * bsize, bavail * bsize), inodes: usage(files, ffree) }
}

function usage(total: number, available: number): Usage {
  return { total, available, used: total - available }
}

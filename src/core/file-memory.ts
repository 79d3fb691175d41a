import type { VolumeFile } from './types.ts'

const PAGE_BYTES = 4096
/** A file's inode and name, and those of the link by which it is seen. */
const FILE_AND_LINK_BYTES = 2048

/** Files take whole pages of a tmpfs, and some more for their inodes and names. */
export function memoryOf(files: readonly VolumeFile[]): number {
  return files.reduce(
    (sum, { data }) =>
      sum + Math.max(1, Math.ceil(data.length / PAGE_BYTES)) * PAGE_BYTES + FILE_AND_LINK_BYTES,
    0,
  )
}

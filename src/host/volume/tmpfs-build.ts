import { closeSync } from 'node:fs'
import { MAX_VOLUME_FILES } from '../../core/limits.ts'
import type { VolumeFile } from '../../core/types.ts'
import type { KernelFeatures } from '../../syscalls/kernel-features.ts'
import {
  attach,
  createDetachedTmpfs,
  makeReadOnly,
  type TmpfsOptions,
} from '../../syscalls/mount-api.ts'
import { pathIn } from './held-folder.ts'
import { writeFirstGeneration } from './layout.ts'
import { sourceOf } from './mountinfo.ts'
import { withNewTarget, type TargetParent } from './target-folder.ts'
import type { Volume } from './volume-store.ts'

export interface BuildOptions {
  readonly features: KernelFeatures
  readonly maxVolumeBytes: number
  readonly selinuxContext?: string | undefined
  readonly now: () => Date
}

/** The current generation, the next one, and one that a subPath mount still pins. */
const GENERATIONS = 3
/** Every file takes whole pages, and a visible link with a long name takes one. */
const PAGE_BYTES = 4096
/** Files, folders and links of all generations; a later one may have more of them than the first. */
const MAX_INODES = 16_384

/**
 * Builds a volume out of sight and lets it appear at its target whole and read-only: a crash at any step
 * before the last leaves no mount, for one that is attached nowhere dies with its process. `attached` gets the
 * root of the new file system at the end; its answer is the answer.
 *
 * Throws: VolumeIo where something else lies at the target · SyscallError · errors of node:fs.
 */
export function buildVolume<T>(
  volume: Volume,
  files: readonly VolumeFile[],
  parent: TargetParent,
  options: BuildOptions,
  attached: (rootFd: number) => T,
): T {
  const mount = createDetachedTmpfs(tmpfsOptions(volume, options))
  try {
    const ownership = { fsGroup: volume.fsGroup, isRequired: true }
    writeFirstGeneration(pathIn(mount), files, ownership, options.now())
    makeReadOnly(mount)
    withNewTarget(parent, (fd) => {
      attach(mount, fd)
    })
    return attached(mount)
  } finally {
    // An open descriptor would keep the file system busy at unmount.
    closeSync(mount)
  }
}

/** Root modes are those of kubelet's Secret volumes: 1777, and 3777 with the group where there is an fsGroup. */
function tmpfsOptions(volume: Volume, options: BuildOptions): TmpfsOptions {
  const { features, maxVolumeBytes, selinuxContext } = options
  const { fsGroup } = volume
  return {
    source: sourceOf(volume.volumeId),
    size: String(
      GENERATIONS * (maxVolumeBytes + MAX_VOLUME_FILES * PAGE_BYTES) +
        MAX_VOLUME_FILES * PAGE_BYTES,
    ),
    nr_inodes: String(MAX_INODES),
    ...(fsGroup === undefined ? { mode: '1777' } : { mode: '3777', gid: String(fsGroup) }),
    ...(features.noswap ? { noswap: true as const } : {}),
    ...(selinuxContext === undefined ? {} : { context: selinuxContext }),
  }
}

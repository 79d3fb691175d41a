import { closeSync, lstatSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs'
import { LatchkeyError } from '../../core/errors.ts'
import type { VolumeFile } from '../../core/types.ts'
import type { KernelFeatures } from '../../syscalls/kernel-features.ts'
import {
  attach,
  createDetachedTmpfs,
  makeReadOnly,
  type TmpfsOptions,
} from '../../syscalls/mount-api.ts'
import { writeGeneration } from './layout.ts'
import { sourceOf } from './mountinfo.ts'
import { withTarget, type TargetParent } from './target-folder.ts'
import { hasCode } from './volume-io.ts'
import type { Volume } from './volume-store.ts'

export interface BuildOptions {
  readonly features: KernelFeatures
  readonly maxVolumeBytes: number
  readonly selinuxContext?: string | undefined
  readonly now: () => Date
}

/** The current generation, the next one, and one that a subPath mount still pins. */
const GENERATIONS = 3
/** Every file takes whole pages; 1,024 files is what the daemon allows. */
const PAGE_ROUNDING_BYTES = 1024 * 4096
const MAX_INODES = 16_384

/**
 * Builds a volume out of sight and lets it appear at its target whole and read-only: a crash at any step
 * before the last leaves nothing, for a mount that is attached nowhere dies with its process. Answers the
 * device number of the new file system.
 *
 * Throws: VolumeIo where something else lies at the target · SyscallError · errors of node:fs.
 */
export function buildVolume(
  volume: Volume,
  files: readonly VolumeFile[],
  parent: TargetParent,
  options: BuildOptions,
): number {
  const mount = createDetachedTmpfs(tmpfsOptions(volume, options))
  try {
    const root = `/proc/self/fd/${mount}`
    const ownership = { fsGroup: volume.fsGroup, mayChown: true }
    writeGeneration(root, files, ownership, options.now())
    makeReadOnly(mount)
    attachAtTarget(mount, parent)
    return lstatSync(`${root}/.`).dev
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
    size: String(GENERATIONS * (maxVolumeBytes + PAGE_ROUNDING_BYTES)),
    nr_inodes: String(MAX_INODES),
    ...(fsGroup === undefined ? { mode: '1777' } : { mode: '3777', gid: String(fsGroup) }),
    ...(features.noswap ? { noswap: true as const } : {}),
    ...(selinuxContext === undefined ? {} : { context: selinuxContext }),
  }
}

function attachAtTarget(mount: number, parent: TargetParent): void {
  const target = `${parent.path}/${parent.name}`
  const isOurs = makeFolder(target)
  try {
    withTarget(parent, ({ fd, path }) => {
      // move_mount would stack a second mount upon a first without a word.
      const isMount = lstatSync(`${path}/.`).dev !== lstatSync(`${parent.path}/.`).dev
      if (isMount) throw new LatchkeyError('VolumeIo', 'something is mounted at the target already')
      if (readdirSync(path).length > 0) {
        throw new LatchkeyError('VolumeIo', 'the folder at the target is not empty')
      }
      attach(mount, fd)
    })
  } catch (thrown) {
    if (isOurs) rmdirSync(target)
    if (!hasCode(thrown, 'ENOTDIR', 'ELOOP')) throw thrown
    throw new LatchkeyError('VolumeIo', 'what lies at the target is no folder')
  }
}

/** kubelet makes the parent, the driver makes the target. Reports whether it was not there. */
function makeFolder(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o750 })
    return true
  } catch (thrown) {
    if (hasCode(thrown, 'EEXIST')) return false
    throw thrown
  }
}

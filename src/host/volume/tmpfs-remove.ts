import { lstatSync } from 'node:fs'
import { LatchkeyError } from '../../core/errors.ts'
import { isSyscallError } from '../../syscalls/libc.ts'
import { makeWritable, unmount, unmountLazily } from '../../syscalls/mount-api.ts'
import { pathIn } from './held-folder.ts'
import { isMountPoint, removeTarget, withTarget, type TargetParent } from './target-folder.ts'
import { volumeIo } from './volume-io.ts'
import { wipeFolder } from './wipe.ts'

/** Reports whether an open folder is the root of the volume that is to go. */
type IsOurs = (folderFd: number) => boolean

/** More than one only where somebody stacked mounts by hand; a bound all the same. */
const MAX_STACKED = 16

/**
 * Takes a volume away: zeroes its files, unmounts it, removes the folder. What is not this volume's own is
 * left as it is.
 *
 * Throws: VolumeIo where something else lies at the target · SyscallError · errors of node:fs.
 */
export function removeVolume(parent: TargetParent, isOurs: IsOurs): void {
  for (let mounts = 0; removeTopMount(parent, isOurs); mounts += 1) {
    if (mounts >= MAX_STACKED) throw refusal('too many mounts at the target')
  }
  removeTarget(parent)
}

/** Reports whether there was one. */
function removeTopMount(parent: TargetParent, isOurs: IsOurs): boolean {
  const top = emptyTopMount(parent, isOurs)
  if (top === undefined) return false
  // Only now that no descriptor of ours keeps it busy.
  detach(parent.target)
  // Files that could not be zeroed are out of reach all the same.
  if (top.failure !== undefined) throw top.failure
  return true
}

/** undefined: nothing is mounted there. `failure`: why the mount could not be emptied. */
function emptyTopMount(
  parent: TargetParent,
  isOurs: IsOurs,
): { readonly failure: LatchkeyError | undefined } | undefined {
  if (lstatSync(parent.target, { throwIfNoEntry: false }) === undefined) return undefined
  return withTarget(parent, (fd) => {
    if (!isMountPoint(parent, fd)) return undefined
    if (!isOurs(fd)) {
      throw refusal('what is mounted at the target is not this volume')
    }
    try {
      volumeIo('zeroing the volume', false, () => {
        emptyOut(fd)
      })
      return { failure: undefined }
    } catch (thrown) {
      return { failure: LatchkeyError.from(thrown) }
    }
  })
}

function refusal(why: string): LatchkeyError {
  return new LatchkeyError('VolumeIo', why, { leftMounted: true })
}

/**
 * By the mount itself, which is about to go: closing a clone has the kernel wait for all of its processors, as
 * unmounting does, and that takes as long as all the rest of a removal. What containers have are other mounts.
 */
function emptyOut(rootFd: number): void {
  makeWritable(rootFd)
  wipeFolder(pathIn(rootFd))
}

function detach(target: string): void {
  try {
    unmount(target)
  } catch (thrown) {
    // EINVAL, ENOENT: it went by another hand meanwhile.
    if (isSyscallError(thrown, 'EINVAL', 'ENOENT')) return
    // Something on the node stands inside. It is empty by now and goes with its last user.
    if (!isSyscallError(thrown, 'EBUSY')) throw thrown
    unmountLazily(target)
  }
}

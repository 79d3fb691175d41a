import { closeSync, lstatSync, readFileSync, readlinkSync, rmdirSync } from 'node:fs'
import { LatchkeyError } from '../../core/errors.ts'
import { cloneWritable, unmount, unmountLazily } from '../../syscalls/mount-api.ts'
import { isSyscallError } from '../../syscalls/libc.ts'
import { parseMountinfo, sourceOf } from './mountinfo.ts'
import { withTarget, type TargetParent } from './target-folder.ts'
import { hasCode } from './volume-io.ts'
import { wipeContents } from './wipe.ts'
import type { Volume } from './volume-store.ts'

/** More than one only where somebody stacked mounts by hand; a bound all the same. */
const MAX_STACKED = 16

/**
 * Takes a volume away: zeroes its files, unmounts it, removes the folder. What is not this volume's own is
 * left as it is.
 *
 * Throws: VolumeIo where something else lies at the target · SyscallError · errors of node:fs.
 */
export function removeVolume(volume: Pick<Volume, 'volumeId'>, parent: TargetParent): void {
  const target = `${parent.path}/${parent.name}`
  for (let mounts = 0; isMountPoint(parent); mounts += 1) {
    if (mounts >= MAX_STACKED) throw refusal('too many mounts at the target')
    refuseForeign(volume, parent)
    try {
      withTarget(parent, ({ fd }) => {
        emptyOut(fd)
      })
    } finally {
      // Whatever kept the files from being zeroed: without the mount they are out of reach.
      detach(target)
    }
  }
  try {
    rmdirSync(target)
  } catch (thrown) {
    if (!hasCode(thrown, 'ENOENT')) throw thrown
  }
}

function refusal(why: string): LatchkeyError {
  return new LatchkeyError('VolumeIo', why, { leftMounted: true })
}

function isMountPoint({ path, name }: TargetParent): boolean {
  const found = lstatSync(`${path}/${name}`, { throwIfNoEntry: false })
  if (found?.isDirectory() !== true) return false
  return found.dev !== lstatSync(`${path}/.`).dev
}

/** mountinfo lists the mounts of one place in their order, so the last one is what is seen. */
function refuseForeign({ volumeId }: Pick<Volume, 'volumeId'>, { path, name }: TargetParent): void {
  const place = `${readlinkSync(path)}/${name}`
  const mounts = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
  const top = mounts.findLast(({ mountPoint }) => mountPoint === place)
  if (top?.fsType === 'tmpfs' && top.source === sourceOf(volumeId) && top.root === '/') return
  throw refusal('what is mounted at the target is not this volume')
}

function emptyOut(folderFd: number): void {
  const clone = cloneWritable(folderFd)
  try {
    wipeContents(`/proc/self/fd/${clone}`)
  } finally {
    closeSync(clone)
  }
}

function detach(target: string): void {
  try {
    unmount(target)
  } catch (thrown) {
    // Something on the node stands inside. It is empty by now and goes with its last user.
    if (!isSyscallError(thrown, 'EBUSY')) throw thrown
    unmountLazily(target)
  }
}

import { closeSync, constants, mkdirSync, openSync, readdirSync, rmdirSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { LatchkeyError } from '../../core/errors.ts'
import { parseTargetPath } from '../../core/target-path.ts'
import { openFolder, pathIn, withFolderBelow } from './held-folder.ts'
import { mountIdOf } from './mountinfo.ts'
import { hasCode } from './volume-io.ts'

/** A target by its parent, which is held open: whatever is renamed or linked meanwhile, this stays it. */
export interface TargetParent {
  readonly fd: number
  /** Leads to the target through the held parent, not along the path it once had. */
  readonly target: string
}

/**
 * Walks from kubelet's folder to the parent of a target without following a link, and lends it. Links above
 * kubelet's folder, or in its own place, are the administrator's and fine.
 *
 * Throws: InvalidRequest (no target path) · the error of open(2): ENOENT, ELOOP or ENOTDIR for a link.
 */
export function withTargetParent<T>(
  kubeletRoot: string,
  targetPath: string,
  use: (parent: TargetParent) => T,
): T {
  parseTargetPath(targetPath, kubeletRoot)
  const names = dirname(targetPath)
    .slice(kubeletRoot.length + 1)
    .split('/')
  const root = openSync(kubeletRoot, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    return withFolderBelow(root, names, (fd) =>
      use({ fd, target: pathIn(fd, basename(targetPath)) }),
    )
  } finally {
    closeSync(root)
  }
}

/** Opens the target, and with it what is mounted there. Throws: VolumeIo · the error of open(2), ENOENT. */
export function withTarget<T>({ target }: TargetParent, use: (fd: number) => T): T {
  const fd = openTarget(target)
  try {
    return use(fd)
  } finally {
    closeSync(fd)
  }
}

function openTarget(target: string): number {
  try {
    return openFolder(target)
  } catch (thrown) {
    if (!hasCode(thrown, 'ENOTDIR', 'ELOOP')) throw thrown
    throw new LatchkeyError('VolumeIo', 'what lies at the target is no folder')
  }
}

/** By mount ids: a folder that is bound there from the same file system has the same device number. */
export function isMountPoint(parent: TargetParent, targetFd: number): boolean {
  return mountIdOf(targetFd) !== mountIdOf(parent.fd)
}

/**
 * Makes the target, or takes an empty folder that lies there, and lends it; if `use` fails, what was made is
 * removed again. kubelet makes the parent, the driver makes the target.
 *
 * Throws: VolumeIo where anything else lies there · errors of node:fs · whatever `use` throws.
 */
export function withNewTarget<T>(parent: TargetParent, use: (fd: number) => T): T {
  const isOurs = makeFolder(parent.target)
  try {
    return withTarget(parent, (fd) => {
      if (isMountPoint(parent, fd)) {
        throw new LatchkeyError('VolumeIo', 'something is mounted at the target already')
      }
      if (readdirSync(pathIn(fd)).length > 0) {
        throw new LatchkeyError('VolumeIo', 'the folder at the target is not empty')
      }
      return use(fd)
    })
  } catch (thrown) {
    if (isOurs) rmdirSync(parent.target)
    throw thrown
  }
}

/** Reports whether it was not there. */
function makeFolder(path: string): boolean {
  try {
    mkdirSync(path, { mode: 0o750 })
    return true
  } catch (thrown) {
    if (hasCode(thrown, 'EEXIST')) return false
    throw thrown
  }
}

/** Removes the target's folder; gone already is fine. Throws: VolumeIo where it is not an empty folder. */
export function removeTarget({ target }: TargetParent): void {
  try {
    rmdirSync(target)
  } catch (thrown) {
    if (hasCode(thrown, 'ENOENT')) return
    if (!hasCode(thrown, 'ENOTEMPTY', 'ENOTDIR')) throw thrown
    throw new LatchkeyError('VolumeIo', 'what lies at the target is not ours to remove')
  }
}

import { fstatSync } from 'node:fs'
import { fileSystemId } from '../../syscalls/file-system-id.ts'
import { isRootOfVolume } from './mountinfo.ts'

/**
 * Tells in microseconds whether an open folder is the root of a volume's own tmpfs: mountinfo says so for
 * certain, but reading it takes longer the more a node mounts, so each volume's file system is remembered.
 */
export class KnownVolumes {
  readonly #roots = new Map<string, string>()

  /** Takes the folder for the volume's root from now on. */
  add(volumeId: string, rootFd: number): void {
    this.#roots.set(volumeId, identityOf(rootFd))
  }

  forget(volumeId: string): void {
    this.#roots.delete(volumeId)
  }

  /** Throws: SyscallError · errors of node:fs. */
  isRoot(volumeId: string, folderFd: number): boolean {
    if (this.#roots.get(volumeId) === identityOf(folderFd)) return true
    const isIt = isRootOfVolume(folderFd, volumeId)
    if (isIt) this.add(volumeId, folderFd)
    return isIt
  }
}

/** The inode number tells the root from a folder in it. */
function identityOf(fd: number): string {
  const { dev, ino } = fstatSync(fd)
  return `${dev} ${ino} ${fileSystemId(fd)}`
}

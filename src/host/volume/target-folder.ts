import { closeSync, constants, openSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { parseTargetPath } from '../../core/target-path.ts'

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

/** A target by its parent, which is held open: whatever is renamed or linked meanwhile, this stays it. */
export interface TargetParent {
  readonly fd: number
  /** Leads into the held folder, not along the path it once had. */
  readonly path: string
  /** The target's name in it. */
  readonly name: string
}

/**
 * Walks from kubelet's pods folder to the parent of a target without following a link, and lends it.
 * Throws: InvalidRequest (no target path) · the error of open(2): ENOENT, ELOOP or ENOTDIR for a link.
 */
export function withTargetParent<T>(
  kubeletRoot: string,
  targetPath: string,
  use: (parent: TargetParent) => T,
): T {
  parseTargetPath(targetPath, kubeletRoot)
  const pods = `${kubeletRoot}/pods`
  let fd = openSync(pods, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    for (const name of dirname(targetPath)
      .slice(pods.length + 1)
      .split('/')) {
      const next = openSync(`/proc/self/fd/${fd}/${name}`, FOLDER)
      closeSync(fd)
      fd = next
    }
    return use({ fd, path: `/proc/self/fd/${fd}`, name: basename(targetPath) })
  } finally {
    closeSync(fd)
  }
}

/** Opens the target itself, through its parent. */
export function withTarget<T>(
  { path, name }: TargetParent,
  use: (folder: { readonly fd: number; readonly path: string }) => T,
): T {
  const fd = openSync(`${path}/${name}`, FOLDER)
  try {
    return use({ fd, path: `/proc/self/fd/${fd}` })
  } finally {
    closeSync(fd)
  }
}

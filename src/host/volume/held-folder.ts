import { closeSync, constants, openSync } from 'node:fs'

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW

/** Opens a folder, never through a link in the path's last place. Throws: as open(2), ENOTDIR for a link. */
export function openFolder(path: string): number {
  return openSync(path, FOLDER)
}

/**
 * Opens a folder and lends its descriptor. What is reached by `pathIn(fd, name)` lies in this very folder,
 * whatever is renamed or linked over its name meanwhile.
 *
 * Throws: as openFolder · whatever `use` throws.
 */
export function withFolder<T>(path: string, use: (fd: number) => T): T {
  const fd = openFolder(path)
  try {
    return use(fd)
  } finally {
    closeSync(fd)
  }
}

/** Walks down `names` from a folder, one held folder after the other, and lends the last. */
export function withFolderBelow<T>(
  fd: number,
  names: readonly string[],
  use: (fd: number) => T,
): T {
  const [name, ...deeper] = names
  if (name === undefined) return use(fd)
  return withFolder(pathIn(fd, name), (next) => withFolderBelow(next, deeper, use))
}

/** The entry `name` of a held folder; the folder itself where it is left out. */
export function pathIn(fd: number, name = '.'): string {
  return `/proc/self/fd/${fd}/${name}`
}

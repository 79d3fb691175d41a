import { readdirSync, type Dirent } from 'node:fs'
import { pathIn, withFolder } from './held-folder.ts'

export interface WalkedEntry {
  readonly entry: Dirent
  /** From where the walk began. */
  readonly name: string
  /** Goes by the held folder that the entry lies in; good until the visit returns. */
  readonly path: string
}

/** Visits everything below a held folder, a folder before what is in it. No link is followed. */
export function walk(folderFd: number, visit: (found: WalkedEntry) => void, prefix = ''): void {
  for (const entry of readdirSync(pathIn(folderFd), { withFileTypes: true })) {
    const name = `${prefix}${entry.name}`
    const path = pathIn(folderFd, entry.name)
    visit({ entry, name, path })
    if (!entry.isDirectory()) continue
    withFolder(path, (fd) => {
      walk(fd, visit, `${name}/`)
    })
  }
}

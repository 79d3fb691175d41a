import { lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'

/** Path -> identity of every socket below the folder whose name does not begin with a dot. */
export async function findSockets(folder: string): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>()
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
    const isHidden = path
      .slice(folder.length)
      .split('/')
      .some((part) => part.startsWith('.'))
    if (isHidden || !entry.isSocket()) continue
    const stats = await lstat(path, { bigint: true }).catch(() => undefined)
    // File systems give an inode's number away again at once, but not with the same birth.
    if (stats !== undefined) found.set(path, `${stats.ino}:${stats.birthtimeNs}`)
  }
  return found
}

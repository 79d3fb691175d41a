import { constants, closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { contentsDigest } from '../../core/contents-digest.ts'
import { SecretBytes } from '../../core/secret-bytes.ts'
import type { VolumeFile } from '../../core/types.ts'
import { withFolder } from './held-folder.ts'
import { currentGeneration } from './layout.ts'
import { walk } from './walk.ts'

const READ = constants.O_RDONLY | constants.O_NOFOLLOW

/** contentsDigest of the current generation as it lies below `root`. The bytes are wiped again. */
export function digestOf(root: string): Buffer {
  const files: VolumeFile[] = []
  try {
    const current = currentGeneration(root)
    if (current !== undefined) readFiles(`${root}/${current}`, files)
    return contentsDigest(files)
  } finally {
    for (const { data } of files) data.wipe()
  }
}

/** Into `files`, so that what was read is there to be wiped even if a later file fails. */
function readFiles(folder: string, files: VolumeFile[]): void {
  withFolder(folder, (fd) => {
    walk(fd, ({ entry, name, path }) => {
      if (entry.isFile()) files.push({ path: name, ...readFile(path) })
    })
  })
}

function readFile(path: string): Omit<VolumeFile, 'path'> {
  const fd = openSync(path, READ)
  try {
    const { size, mode, uid } = fstatSync(fd)
    const bytes = Buffer.allocUnsafeSlow(size)
    for (let offset = 0; offset < size;) {
      const read = readSync(fd, bytes, offset, size - offset, offset)
      if (read === 0) throw new Error('a file became shorter while it was read')
      offset += read
    }
    return { data: new SecretBytes(bytes), mode: mode & 0o777, ownerUid: uid }
  } finally {
    closeSync(fd)
  }
}

import { closeSync, constants, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { LatchkeyError } from '../../core/errors.ts'
import { parseSafePath } from '../../core/safe-path.ts'
import type { VolumeFile } from '../../core/types.ts'
import { pathIn, withFolder } from './held-folder.ts'
import { finishFile, finishFolder, UNFINISHED_MODE, type Ownership } from './ownership.ts'

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

interface Tree {
  readonly folders: Map<string, Tree>
  readonly files: Map<string, VolumeFile>
}

/**
 * Makes the folder at `path` with all files in it, and opens it to others once it is whole. Every step below
 * `path` goes by a held folder: a container that somehow may write to its volume cannot lead this process out
 * of it by a link. On failure nothing of the folder stays.
 *
 * Throws: InvalidRequest for a path that no volume may have, or that comes twice · errors of node:fs.
 */
export function createGenerationFolder(
  path: string,
  files: readonly VolumeFile[],
  ownership: Ownership,
): void {
  const tree = treeOf(files)
  mkdirSync(path, { mode: UNFINISHED_MODE })
  try {
    withFolder(path, (fd) => {
      fillFolder(fd, tree, ownership)
    })
  } catch (thrown) {
    rmSync(path, { recursive: true, force: true })
    throw thrown
  }
}

function fillFolder(fd: number, { folders, files }: Tree, ownership: Ownership): void {
  for (const [name, tree] of folders) {
    mkdirSync(pathIn(fd, name), { mode: UNFINISHED_MODE })
    withFolder(pathIn(fd, name), (inner) => {
      fillFolder(inner, tree, ownership)
    })
  }
  for (const [name, file] of files) writeFile(pathIn(fd, name), file, ownership)
  finishFolder(fd, ownership)
}

function writeFile(path: string, file: VolumeFile, ownership: Ownership): void {
  const fd = openSync(path, NEW_FILE, 0o600)
  try {
    file.data.use((bytes) => {
      for (let offset = 0; offset < bytes.length;) offset += writeSync(fd, bytes, offset)
    })
    finishFile(fd, file, ownership)
  } finally {
    closeSync(fd)
  }
}

function treeOf(files: readonly VolumeFile[]): Tree {
  const root = emptyTree()
  for (const file of files) {
    // What came over a socket was checked there; here it becomes a path, so it is checked here too.
    const segments = parseSafePath(file.path, 'file')
    let tree = root
    for (const name of segments.slice(0, -1)) {
      const next = tree.folders.get(name) ?? emptyTree()
      tree.folders.set(name, next)
      tree = next
    }
    const name = segments.at(-1) ?? ''
    if (tree.files.has(name)) throw new LatchkeyError('InvalidRequest', 'file: a path comes twice')
    tree.files.set(name, file)
  }
  return root
}

function emptyTree(): Tree {
  return { folders: new Map(), files: new Map() }
}

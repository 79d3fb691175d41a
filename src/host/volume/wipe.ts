import {
  chmodSync,
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { withFolder } from './held-folder.ts'
import { hasCode } from './volume-io.ts'
import { walk } from './walk.ts'

const OVERWRITE = constants.O_WRONLY | constants.O_NOFOLLOW
const ZEROS = Buffer.alloc(64 * 1024)

/**
 * Zeroes every file below `root` and removes everything in it. Only for the end of a volume: whoever still
 * has a file open reads zeros from then on.
 *
 * Throws: errors of node:fs.
 */
export function wipeFolder(root: string): void {
  withFolder(`${root}/.`, (fd) => {
    walk(fd, ({ entry, path }) => {
      if (entry.isFile()) zero(path)
    })
  })
  for (const name of readdirSync(root)) rmSync(`${root}/${name}`, { recursive: true, force: true })
}

function zero(path: string): void {
  const fd = openToOverwrite(path)
  try {
    const { size } = fstatSync(fd)
    for (let offset = 0; offset < size;) {
      offset += writeSync(fd, ZEROS, 0, Math.min(ZEROS.length, size - offset), offset)
    }
  } finally {
    closeSync(fd)
  }
}

function openToOverwrite(path: string): number {
  try {
    return openSync(path, OVERWRITE)
  } catch (thrown) {
    // Without root, in plain folders, a file's own mode may stand in its owner's way.
    if (!hasCode(thrown, 'EACCES')) throw thrown
    chmodSync(path, 0o600)
    return openSync(path, OVERWRITE)
  }
}

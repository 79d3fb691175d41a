import { closeSync, constants, fstatSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs'
import { walk } from './walk.ts'

const OVERWRITE = constants.O_WRONLY | constants.O_NOFOLLOW
const ZEROS = Buffer.alloc(64 * 1024)

/**
 * Zeroes every file below `root` and removes everything in it. Only for the end of a volume: whoever still
 * has a file open reads zeros from then on.
 */
export function wipeContents(root: string): void {
  for (const { path, entry } of walk(root)) if (entry.isFile()) zero(path)
  for (const name of readdirSync(root)) rmSync(`${root}/${name}`, { recursive: true, force: true })
}

function zero(path: string): void {
  const fd = openSync(path, OVERWRITE)
  try {
    const { size } = fstatSync(fd)
    for (let offset = 0; offset < size;) {
      offset += writeSync(fd, ZEROS, 0, Math.min(ZEROS.length, size - offset), offset)
    }
  } finally {
    closeSync(fd)
  }
}

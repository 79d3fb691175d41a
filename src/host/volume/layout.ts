import { randomInt } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  lchownSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { parseSafePath } from '../../core/safe-path.ts'
import type { VolumeFile } from '../../core/types.ts'

/*
 * A volume's root holds what kubelet's AtomicWriter makes for a Secret volume, so that no application sees
 * a difference: a folder per generation, `..data` pointing at the current one, and a link per top-level name
 * through `..data`. One rename changes them all.
 */
const DATA = '..data'
const DATA_TMP = '..data_tmp'
const HIDDEN = '..'

const NEW_FILE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW

/** Who owns what is written, and whether this process may say so at all. */
export interface Ownership {
  /** The pod's fsGroup; undefined leaves everything to group 0. */
  readonly fsGroup: number | undefined
  /** False where this process is not root: files then stay its own. */
  readonly mayChown: boolean
}

/**
 * Puts a generation in place of the current one, or as the first. `root` is a folder that only this
 * process writes in. On failure the current generation stays and the new one is removed.
 */
export function writeGeneration(
  root: string,
  files: readonly VolumeFile[],
  ownership: Ownership,
  now: Date,
): void {
  rmSync(`${root}/${DATA_TMP}`, { force: true })
  const isFirst = currentGeneration(root) === undefined
  const folder = generationName(now)
  try {
    writeFolder(`${root}/${folder}`, files, ownership)
    symlinkSync(folder, `${root}/${DATA_TMP}`)
    chownLink(`${root}/${DATA_TMP}`, ownership)
    renameSync(`${root}/${DATA_TMP}`, `${root}/${DATA}`)
  } catch (thrown) {
    rmSync(`${root}/${DATA_TMP}`, { force: true })
    rmSync(`${root}/${folder}`, { recursive: true, force: true })
    throw thrown
  }
  linkNames(root, new Set(files.map(({ path }) => topName(path))), ownership)
  if (!isFirst) touchLinks(root, now)
}

/** The folder that `..data` points at; undefined in a root where nothing was finished yet. */
export function currentGeneration(root: string): string | undefined {
  try {
    return readlinkSync(`${root}/${DATA}`)
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw thrown
  }
}

/** Every folder of a generation but the current one: older ones, and what a crash left half written. */
export function oldGenerations(root: string): readonly string[] {
  const current = currentGeneration(root)
  return readdirSync(root).filter(
    (name) => name.startsWith(HIDDEN) && name !== DATA && name !== current,
  )
}

function writeFolder(folder: string, files: readonly VolumeFile[], ownership: Ownership): void {
  // Closed to everybody until it is whole.
  mkdirSync(folder, { mode: 0o700 })
  const folders = new Set<string>()
  for (const file of files) {
    const segments = parseSafePath(file.path, 'file')
    for (let depth = 1; depth < segments.length; depth += 1) {
      folders.add(segments.slice(0, depth).join('/'))
    }
  }
  // Parents sort before what is in them.
  for (const name of [...folders].sort()) mkdirSync(`${folder}/${name}`, { mode: 0o700 })
  for (const file of files) writeFile(`${folder}/${file.path}`, file, ownership)
  for (const name of [...folders].sort().reverse()) openFolder(`${folder}/${name}`, ownership)
  openFolder(folder, ownership)
}

function writeFile(path: string, file: VolumeFile, { fsGroup, mayChown }: Ownership): void {
  const fd = openSync(path, NEW_FILE, 0o600)
  try {
    file.data.use((bytes) => {
      for (let offset = 0; offset < bytes.length;) offset += writeSync(fd, bytes, offset)
    })
    if (mayChown) fchownSync(fd, file.ownerUid, fsGroup ?? 0)
    // After chown, which drops bits, and in spite of the umask.
    fchmodSync(fd, file.mode)
  } finally {
    closeSync(fd)
  }
}

/** kubelet's modes: 0755, and with fsGroup setgid, so that the group passes on. */
function openFolder(path: string, { fsGroup, mayChown }: Ownership): void {
  if (mayChown) chownSync(path, 0, fsGroup ?? 0)
  chmodSync(path, fsGroup === undefined ? 0o755 : 0o2755)
}

function linkNames(root: string, names: ReadonlySet<string>, ownership: Ownership): void {
  for (const name of names) {
    const link = `${root}/${name}`
    if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) continue
    symlinkSync(`${DATA}/${name}`, link)
    chownLink(link, ownership)
  }
  for (const name of visibleNames(root)) if (!names.has(name)) unlinkSync(`${root}/${name}`)
}

/** A swap changes no visible link by itself; file watchers go by their times and inotify events. */
function touchLinks(root: string, now: Date): void {
  for (const name of visibleNames(root)) lutimesSync(`${root}/${name}`, now, now)
}

function visibleNames(root: string): readonly string[] {
  return readdirSync(root).filter((name) => !name.startsWith(HIDDEN))
}

function chownLink(link: string, { fsGroup, mayChown }: Ownership): void {
  if (mayChown) lchownSync(link, 0, fsGroup ?? 0)
}

function topName(path: string): string {
  const [top = ''] = path.split('/', 1)
  return top
}

/** ..2026_11_21_07_00_00.1234567890, in UTC as in a container without a time zone. */
function generationName(now: Date): string {
  const time = now.toISOString().slice(0, 19).replace(/[-:T]/g, '_')
  return `${HIDDEN}${time}.${randomInt(10 ** 9, 2 ** 32)}`
}

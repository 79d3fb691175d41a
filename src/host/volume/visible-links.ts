import { lutimesSync, readdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { finishLink, type Ownership } from './ownership.ts'
import { hasCode } from './volume-io.ts'

/** The link through which kubelet's volumes name their current generation. */
export const DATA = '..data'

/** Names that start so are the layout's own; no file's path may. */
export const HIDDEN = '..'

/** Makes `name -> ..data/name` for every name that is not such a link already. */
export function linkNames(root: string, names: Iterable<string>, ownership: Ownership): void {
  for (const name of names) {
    const link = `${root}/${name}`
    if (readLink(link) === targetOf(name)) continue
    rmSync(link, { recursive: true, force: true })
    makeLink(root, name, ownership)
  }
}

/** Makes `name -> ..data/name` where nothing of that name lies. */
export function makeLink(root: string, name: string, ownership: Ownership): void {
  const link = `${root}/${name}`
  symlinkSync(targetOf(name), link)
  finishLink(link, ownership)
}

function targetOf(name: string): string {
  return `${DATA}/${name}`
}

/** Removes every visible entry but `names`. */
export function unlinkOthers(root: string, names: ReadonlySet<string>): void {
  for (const name of visibleNames(root)) {
    if (!names.has(name)) rmSync(`${root}/${name}`, { recursive: true, force: true })
  }
}

/**
 * A swap changes nothing about a visible link itself; file watchers go by its time and by the inotify event
 * that a change of it raises.
 */
export function touchLinks(root: string, now: Date): void {
  for (const name of visibleNames(root)) lutimesSync(`${root}/${name}`, now, now)
}

/** Where a link points; undefined where there is none. */
export function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch (thrown) {
    // EINVAL: something that is no link.
    if (hasCode(thrown, 'ENOENT', 'EINVAL')) return undefined
    throw thrown
  }
}

function visibleNames(root: string): readonly string[] {
  return readdirSync(root).filter((name) => !name.startsWith(HIDDEN))
}

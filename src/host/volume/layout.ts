import { randomInt } from 'node:crypto'
import { lstatSync, readdirSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import type { VolumeFile } from '../../core/types.ts'
import { createGenerationFolder } from './generation-folder.ts'
import { finishLink, UNFINISHED_MODE, type Ownership } from './ownership.ts'
import {
  DATA,
  HIDDEN,
  linkNames,
  makeLink,
  readLink,
  touchLinks,
  unlinkOthers,
} from './visible-links.ts'

/*
 * A volume's root holds what kubelet's AtomicWriter makes for a Secret volume, so that no application sees
 * a difference: a folder per generation, `..data` pointing at the current one, and a link per top-level name
 * through `..data`. One rename changes them all.
 */
const DATA_TMP = '..data_tmp'
const GENERATION = /^\.\.\d{4}(_\d\d){5}\.\d+$/

/**
 * Puts a generation in place of the current one, or as the first. `root` is a held folder's path. On failure
 * the current generation stays, with nothing of the new one beside it.
 *
 * The links of new names come before the rename and those of lost names go after it, unlike kubelet's: a
 * link whose file is not there reads as no file, so whoever dies at any step leaves the old files or the new.
 *
 * Throws: InvalidRequest for a path that no volume may have, or that comes twice · errors of node:fs.
 */
export function writeGeneration(
  root: string,
  files: readonly VolumeFile[],
  ownership: Ownership,
  now: Date,
): void {
  sweep(root)
  const before = currentGeneration(root)
  const names = namesOf(files)
  const folder = generationName(now)
  createGenerationFolder(`${root}/${folder}`, files, ownership)
  try {
    linkNames(root, names, ownership)
    symlinkSync(folder, `${root}/${DATA_TMP}`)
    finishLink(`${root}/${DATA_TMP}`, ownership)
    renameSync(`${root}/${DATA_TMP}`, `${root}/${DATA}`)
  } catch (thrown) {
    rmSync(`${root}/${DATA_TMP}`, { force: true })
    unlinkOthers(root, new Set(before === undefined ? [] : readdirSync(`${root}/${before}`)))
    rmSync(`${root}/${folder}`, { recursive: true, force: true })
    throw thrown
  }
  unlinkOthers(root, names)
  if (before !== undefined) touchLinks(root, now)
}

/**
 * The same in a root that is new and that nobody sees yet: nothing is in the way and nothing has to stay whole.
 * On failure the root is left as it is, to be thrown away.
 *
 * Throws: InvalidRequest for a path that no volume may have, or that comes twice · errors of node:fs.
 */
export function writeFirstGeneration(
  root: string,
  files: readonly VolumeFile[],
  ownership: Ownership,
  now: Date,
): void {
  const folder = generationName(now)
  createGenerationFolder(`${root}/${folder}`, files, ownership)
  for (const name of namesOf(files)) makeLink(root, name, ownership)
  symlinkSync(folder, `${root}/${DATA}`)
  finishLink(`${root}/${DATA}`, ownership)
}

/** The folder that `..data` points at; undefined in a root where nothing was finished yet. */
export function currentGeneration(root: string): string | undefined {
  const name = readLink(`${root}/${DATA}`)
  // A link that leads anywhere else was not made here, and must not be followed.
  return name !== undefined && GENERATION.test(name) ? name : undefined
}

/**
 * Removes every generation but the current one: older ones, and what a crash left behind. Links too: whoever
 * died right before or after the rename left some that lead nowhere, and equal contents bring no next swap.
 */
export function pruneGenerations(root: string): void {
  const current = currentGeneration(root)
  if (current !== undefined) unlinkOthers(root, new Set(readdirSync(`${root}/${current}`)))
  for (const name of hiddenNames(root)) {
    if (name === DATA || name === current) continue
    rmSync(`${root}/${name}`, { recursive: true, force: true })
  }
}

/** Removes what stands in the way of a writer: half a generation, a link that was never renamed. */
function sweep(root: string): void {
  for (const name of hiddenNames(root)) {
    const path = `${root}/${name}`
    const isKept = name === DATA ? currentGeneration(root) !== undefined : isFinished(path, name)
    if (!isKept) rmSync(path, { recursive: true, force: true })
  }
}

function isFinished(path: string, name: string): boolean {
  const stat = lstatSync(path)
  return GENERATION.test(name) && stat.isDirectory() && (stat.mode & 0o777) !== UNFINISHED_MODE
}

function hiddenNames(root: string): readonly string[] {
  return readdirSync(root).filter((name) => name.startsWith(HIDDEN))
}

/** What is visible of them in the root. */
function namesOf(files: readonly VolumeFile[]): ReadonlySet<string> {
  return new Set(files.map(({ path }) => path.split('/', 1)[0] ?? ''))
}

/** ..2026_11_21_07_00_00.1234567890, in UTC as kubelet's; what follows the dot only has to be another one. */
function generationName(now: Date): string {
  const time = now.toISOString().slice(0, 19).replace(/[-:T]/g, '_')
  return `${HIDDEN}${time}.${randomInt(10 ** 9, 2 ** 32)}`
}

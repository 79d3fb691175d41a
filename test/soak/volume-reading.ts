import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { generationOf } from './generation-files.ts'

/** What somebody finds who resolves `..data` once and reads everything in there. */
export type Reading =
  | { readonly kind: 'whole'; readonly generation: number; readonly folder: string }
  /** Files are missing, or bytes of them: kubelet was told OK for less than all. */
  | { readonly kind: 'empty'; readonly why: string }
  /** Bytes of different generations, or of none. */
  | { readonly kind: 'torn'; readonly why: string }

/** A Secret's files by key, in its n-th generation. */
export type FilesOf = (generation: number) => Readonly<Record<string, Buffer>>

const DATA = '..data'
/** A reader that is overtaken by a swap and the prune after it begins anew. */
const MAX_TRIES = 20

/** Reads a volume as a pod does, and compares every byte with what the Secret held. */
export function readVolume(target: string, filesOf: FilesOf): Reading {
  let why = ''
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const folder = linkOf(join(target, DATA))
    if (folder === undefined) return { kind: 'empty', why: 'there is no ..data' }
    try {
      return judge(filesOf, folder, readFolder(join(target, folder)))
    } catch (thrown) {
      why = thrown instanceof Error ? thrown.message : String(thrown)
      if (linkOf(join(target, DATA)) === folder) return { kind: 'empty', why }
    }
  }
  return { kind: 'torn', why: `swapped ${MAX_TRIES} times in a row: ${why}` }
}

/** Names in the volume's root that have no business there once all is calm. */
export function findClutter(
  target: string,
  filesOf: FilesOf,
  { generation, folder }: Whole,
): string[] {
  const links = Object.keys(filesOf(generation))
  const expected = new Set([DATA, folder, ...links])
  const found = readdirSync(target)
  return [
    ...found.filter((name) => !expected.has(name)),
    ...links.filter((name) => linkOf(join(target, name)) !== `${DATA}/${name}`),
  ]
}

type Whole = Extract<Reading, { kind: 'whole' }>

function judge(filesOf: FilesOf, folder: string, files: ReadonlyMap<string, Buffer>): Reading {
  const generations = new Set([...files.values()].map(generationOf))
  const [generation] = generations
  if (files.size === 0) return { kind: 'empty', why: `${folder} is empty` }
  if (generations.size > 1 || generation === undefined) {
    const all = [...files].map(([name, bytes]) => `${name}=${generationOf(bytes) ?? '?'}`)
    return { kind: 'torn', why: `${folder} holds generations ${all.join(' ')}` }
  }
  const expected = filesOf(generation)
  for (const [name, bytes] of Object.entries(expected)) {
    const found = files.get(name)
    if (found === undefined) return { kind: 'empty', why: `${folder}/${name} is missing` }
    if (found.length < bytes.length) return { kind: 'empty', why: `${folder}/${name} is cut off` }
    if (!found.equals(bytes)) return { kind: 'torn', why: `${folder}/${name} has other bytes` }
  }
  if (files.size > Object.keys(expected).length) {
    return { kind: 'torn', why: `${folder} holds more than its generation` }
  }
  return { kind: 'whole', generation, folder }
}

function readFolder(folder: string): ReadonlyMap<string, Buffer> {
  return new Map(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]))
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

import { lstatSync, readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { readMounts, sourceOf } from '../../src/host/volume/mountinfo.ts'
import type { Finding } from './findings.ts'
import { findClutter, readVolume, type FilesOf } from './volume-reading.ts'

/** A volume that is to be there, whole and current. */
export interface Expected {
  readonly volumeId: string
  readonly targetPath: string
  /** That the Secret is at. */
  readonly generation: number
  /** What the Secret held in each. */
  readonly filesOf: FilesOf
}

export interface Node {
  /** Holds everything of this node: kubelet's folder, the daemon's socket. */
  readonly folder: string
  readonly kubeletRoot: string
  /** Files of the world itself, by path. */
  readonly own: readonly string[]
  readonly sockets: readonly string[]
  readonly expected: readonly Expected[]
}

/**
 * Everything on a calm node that breaks a promise; empty is how it ought to be. One by one, the cheap looks
 * first, for whoever only asks whether there is any.
 */
export function* inspectNode(node: Node): Generator<Finding, void> {
  for (const volume of node.expected) yield* inspectVolume(volume)
  yield* findOrphans(node)
  yield* findLeftovers(node)
}

/** Mounts that kubelet knows nothing of, wherever they are, and second ones in one place. */
function findOrphans({ folder, expected }: Node): readonly Finding[] {
  const known = new Map(expected.map(({ targetPath, volumeId }) => [targetPath, volumeId]))
  const findings: Finding[] = []
  for (const { mountPoint, source, root, fsType } of readMounts()) {
    if (!mountPoint.startsWith(`${folder}/`)) continue
    const volumeId = known.get(mountPoint)
    known.delete(mountPoint)
    if (volumeId !== undefined && root === '/' && source === sourceOf(volumeId)) continue
    findings.push({ kind: 'orphans', what: `${fsType} ${source} on ${mountPoint}` })
  }
  return findings
}

function inspectVolume({ targetPath, generation, filesOf }: Expected): readonly Finding[] {
  const reading = readVolume(targetPath, filesOf)
  if (reading.kind !== 'whole') {
    return [{ kind: reading.kind, what: `${targetPath}: ${reading.why}` }]
  }
  if (reading.generation !== generation) {
    const what = `${targetPath}: shows generation ${reading.generation}, the Secret is at ${generation}`
    return [{ kind: 'lost', what }]
  }
  return findClutter(targetPath, filesOf, reading).map((name) => ({
    kind: 'leftovers',
    what: join(targetPath, name),
  }))
}

/** Files and folders that nobody needs any more; what is mounted is looked into elsewhere. */
function findLeftovers({ folder, own, sockets, expected }: Node): readonly Finding[] {
  const targets = new Set(expected.map(({ targetPath }) => targetPath))
  const files = [...own, ...sockets, ...expected.map((one) => dataFileOf(one))]
  const known = new Set(
    [...files, ...targets].flatMap((path) => [path, ...foldersAbove(path, folder)]),
  )
  for (const name of ['pods', 'plugins', 'plugins_registry'])
    known.add(join(folder, 'kubelet', name))
  const walk = (path: string): readonly string[] =>
    entriesOf(path).flatMap((name) => {
      const entry = join(path, name)
      if (!known.has(entry)) return [entry]
      return isFolder(entry) && !targets.has(entry) ? walk(entry) : []
    })
  const missing = sockets.filter((path) => lstatSync(path, { throwIfNoEntry: false }) === undefined)
  return [
    ...walk(folder).map((path): Finding => ({ kind: 'leftovers', what: relative(folder, path) })),
    ...missing.map((path): Finding => ({ kind: 'lost', what: `${path} is not there` })),
  ]
}

function dataFileOf({ targetPath }: Expected): string {
  return join(dirname(targetPath), 'vol_data.json')
}

function foldersAbove(path: string, top: string): readonly string[] {
  const folder = dirname(path)
  return folder === top || folder === '/' ? [] : [folder, ...foldersAbove(folder, top)]
}

/** What is gone before it was looked at was on its way out. */
function entriesOf(path: string): readonly string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

function isFolder(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isDirectory() === true
}

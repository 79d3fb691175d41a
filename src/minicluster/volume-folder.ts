import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'

// All of it is synchronous: a mount namespace that was entered by unshare(2) is the main thread's alone,
// and the thread pool behind node:fs/promises would see other mounts than the driver makes.

/** Where a volume of a pod lies. */
export interface VolumeFolder {
  /** kubelet's own folder for the volume. */
  readonly parent: string
  /** The driver makes and removes it. */
  readonly target: string
}

/** What kubelet writes beside a mount, to know it again after a restart. */
export interface VolumeData {
  readonly specVolID: string
  readonly volumeHandle: string
  readonly driverName: string
  readonly nodeName: string
  readonly attachmentID: string
  readonly volumeLifecycleMode: string
}

const DATA_FILE = 'vol_data.json'
const PLUGIN_FOLDER = 'kubernetes.io~csi'

export function volumeFolder(root: string, podUid: string, volumeName: string): VolumeFolder {
  const parent = join(podVolumesFolder(root, podUid), volumeName)
  return { parent, target: join(parent, 'mount') }
}

/** Makes the parent, and nothing at the target. Answers what stands in the way: undefined, nothing. */
export function prepareFolder({ parent }: VolumeFolder, data: VolumeData): string | undefined {
  try {
    mkdirSync(parent, { recursive: true, mode: 0o750 })
    writeFileSync(join(parent, DATA_FILE), `${JSON.stringify(data)}\n`)
    return undefined
  } catch (thrown) {
    return `failed to create dir "${parent}": ${String(errorCode(thrown))}`
  }
}

/**
 * Removes what is left of a volume, folder by folder and never what is in them. Answers what stands in
 * the way: undefined, nothing. A target that is a mount point still is kept without a word, as kubelet
 * keeps it.
 */
export function removeFolder(folder: VolumeFolder): string | undefined {
  if (isMountPoint(folder.target)) return undefined
  const failure = removeIfThere(folder.target, rmdirSync)
  if (failure !== undefined) return failure
  return (
    removeIfThere(join(folder.parent, DATA_FILE), unlinkSync) ??
    removeIfThere(folder.parent, rmdirSync)
  )
}

/** A mount of another file system; a bind mount of the same one is not recognised. */
export function isMountPoint(path: string): boolean {
  try {
    return lstatSync(path).dev !== lstatSync(dirname(path)).dev
  } catch {
    return false
  }
}

/** Takes away the pod's folders that are empty. */
export function removePodFolder(root: string, podUid: string): void {
  const csi = podVolumesFolder(root, podUid)
  for (const path of [csi, dirname(csi), dirname(dirname(csi))]) {
    removeIfThere(path, rmdirSync)
  }
}

/** Pod uid to the pod's volumes by name. */
export type FoundVolumes = ReadonlyMap<string, ReadonlyMap<string, VolumeData>>

/** Every target below the folder that is a mount point still. */
export function findMountPoints(root: string): readonly string[] {
  return namesIn(join(root, 'pods'))
    .flatMap((uid) =>
      namesIn(podVolumesFolder(root, uid)).map((name) => volumeFolder(root, uid, name)),
    )
    .map(({ target }) => target)
    .filter(isMountPoint)
}

/** What an earlier kubelet left on the disk: pod uid to its volumes. Unreadable records are left out. */
export function findVolumes(root: string): FoundVolumes {
  const found = new Map<string, ReadonlyMap<string, VolumeData>>()
  for (const uid of namesIn(join(root, 'pods'))) {
    const volumes = new Map<string, VolumeData>()
    for (const name of namesIn(podVolumesFolder(root, uid))) {
      const data = readData(volumeFolder(root, uid, name))
      if (data !== undefined) volumes.set(name, data)
    }
    if (volumes.size > 0) found.set(uid, volumes)
  }
  return found
}

function podVolumesFolder(root: string, podUid: string): string {
  return join(root, 'pods', podUid, 'volumes', PLUGIN_FOLDER)
}

function readData({ parent }: VolumeFolder): VolumeData | undefined {
  try {
    return JSON.parse(readFileSync(join(parent, DATA_FILE), 'utf8')) as VolumeData
  } catch {
    return undefined
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function removeIfThere(path: string, remove: (path: string) => void): string | undefined {
  try {
    remove(path)
    return undefined
  } catch (thrown) {
    const code = errorCode(thrown)
    if (code === 'ENOENT') return undefined
    return `remove ${path}: ${code === 'ENOTEMPTY' ? 'directory not empty' : String(code)}`
  }
}

function errorCode(thrown: unknown): unknown {
  return thrown instanceof Error && 'code' in thrown ? thrown.code : thrown
}

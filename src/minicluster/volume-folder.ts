import { lstat, mkdir, readdir, readFile, rmdir, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

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
export async function prepareFolder(
  { parent }: VolumeFolder,
  data: VolumeData,
): Promise<string | undefined> {
  try {
    await mkdir(parent, { recursive: true, mode: 0o750 })
    await writeFile(join(parent, DATA_FILE), `${JSON.stringify(data)}\n`)
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
export async function removeFolder(folder: VolumeFolder): Promise<string | undefined> {
  if (await isMountPoint(folder.target)) return undefined
  const failure = await removeIfThere(folder.target, rmdir)
  if (failure !== undefined) return failure
  return (
    (await removeIfThere(join(folder.parent, DATA_FILE), unlink)) ??
    (await removeIfThere(folder.parent, rmdir))
  )
}

/** A mount of another file system; a bind mount of the same one is not recognised. */
export async function isMountPoint(path: string): Promise<boolean> {
  try {
    const [own, parent] = await Promise.all([lstat(path), lstat(dirname(path))])
    return own.dev !== parent.dev
  } catch {
    return false
  }
}

/** Takes away the pod's folders that are empty. */
export async function removePodFolder(root: string, podUid: string): Promise<void> {
  const csi = podVolumesFolder(root, podUid)
  for (const path of [csi, dirname(csi), dirname(dirname(csi))]) {
    await removeIfThere(path, rmdir)
  }
}

/** What an earlier kubelet left on the disk: pod uid to its volumes. Unreadable records are left out. */
export async function findVolumes(
  root: string,
): Promise<ReadonlyMap<string, ReadonlyMap<string, VolumeData>>> {
  const found = new Map<string, ReadonlyMap<string, VolumeData>>()
  for (const uid of await namesIn(join(root, 'pods'))) {
    const volumes = new Map<string, VolumeData>()
    for (const name of await namesIn(podVolumesFolder(root, uid))) {
      const data = await readData(volumeFolder(root, uid, name))
      if (data !== undefined) volumes.set(name, data)
    }
    if (volumes.size > 0) found.set(uid, volumes)
  }
  return found
}

function podVolumesFolder(root: string, podUid: string): string {
  return join(root, 'pods', podUid, 'volumes', PLUGIN_FOLDER)
}

async function readData({ parent }: VolumeFolder): Promise<VolumeData | undefined> {
  try {
    return JSON.parse(await readFile(join(parent, DATA_FILE), 'utf8')) as VolumeData
  } catch {
    return undefined
  }
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => [])
}

async function removeIfThere(
  path: string,
  remove: (path: string) => Promise<void>,
): Promise<string | undefined> {
  try {
    await remove(path)
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

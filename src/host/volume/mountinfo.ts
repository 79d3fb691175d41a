import { readFileSync } from 'node:fs'
import { LatchkeyError } from '../../core/errors.ts'
import { parseTargetPath } from '../../core/target-path.ts'
import { volumeIdOf } from '../../core/volume-id.ts'
import type { VolumeRef } from './volume-store.ts'

/** One line of /proc/PID/mountinfo, see proc_pid_mountinfo(5). */
export interface Mount {
  /** Another one for every mount of this moment; used again after an unmount. */
  readonly id: number
  /** The folder of the file system that is visible at the mount point. */
  readonly root: string
  readonly mountPoint: string
  readonly fsType: string
  readonly source: string
  /** Whether mounts below it appear in its peers too, as those of pods do. */
  readonly isShared: boolean
}

/** The layout of our volumes; a later one that this version cannot read gets another number. */
const LAYOUT = 1
const SOURCE = `latchkey:${LAYOUT}:`

/** What mountinfo shows as the source of a volume's tmpfs. */
export function sourceOf(volumeId: string): string {
  return SOURCE + volumeId
}

/** Every mount that this process sees. */
export function readMounts(): readonly Mount[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
}

/** In the kernel's order, later mounts of one place after earlier ones. Odd lines are left out. */
export function parseMountinfo(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ', 2)
    const [id, , , root, mountPoint, , ...optional] = before.split(' ')
    const [fsType, source] = after.split(' ')
    if (id === undefined || root === undefined || mountPoint === undefined) return []
    if (fsType === undefined || source === undefined) return []
    return [
      {
        id: Number(id),
        root: unescape(root),
        mountPoint: unescape(mountPoint),
        fsType,
        source: unescape(source),
        isShared: optional.some((field) => field.startsWith('shared:')),
      },
    ]
  })
}

/**
 * Reports whether an open folder is the root of the volume's own tmpfs. The descriptor keeps its mount in
 * being, so the mount's id cannot have become another one's between the look and what is done next.
 *
 * Throws: errors of node:fs.
 */
export function isRootOfVolume(folderFd: number, volumeId: string): boolean {
  const id = mountIdOf(folderFd)
  const mount = readMounts().find((mount) => mount.id === id)
  return mount !== undefined && isVolumeMount(mount, volumeId)
}

/** The id of the mount that an open file lies on, as proc_pid_fdinfo(5) has it. Throws: errors of node:fs. */
export function mountIdOf(fd: number): number {
  const [, id] = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')) ?? []
  return Number(id)
}

/**
 * Our volumes among a node's mounts, but for those whose ids are to be left out; mounts that are stacked at one
 * target are one volume.
 */
export function findVolumes(
  mounts: readonly Mount[],
  kubeletRoot: string,
  isLeftOut: (volumeId: string) => boolean = () => false,
): readonly VolumeRef[] {
  const found = mounts.flatMap((mount) => {
    // A node has hundreds of mounts, and this is gone through every few seconds.
    if (!mount.source.startsWith(SOURCE) || isLeftOut(mount.source.slice(SOURCE.length))) return []
    const targetPath = mount.mountPoint
    const volumeId = volumeIdAt(targetPath, kubeletRoot)
    return volumeId !== undefined && isVolumeMount(mount, volumeId)
      ? [[volumeId, { volumeId, targetPath }] as const]
      : []
  })
  return [...new Map(found).values()]
}

/**
 * A subPath mount binds a file out of a volume and shows the same source with another root: it is kubelet's,
 * not ours.
 */
function isVolumeMount({ root, fsType, source }: Mount, volumeId: string): boolean {
  return root === '/' && fsType === 'tmpfs' && source === sourceOf(volumeId)
}

function volumeIdAt(mountPoint: string, kubeletRoot: string): string | undefined {
  try {
    const { podUid, volumeName } = parseTargetPath(mountPoint, kubeletRoot)
    return volumeIdOf(podUid, volumeName)
  } catch (thrown) {
    if (thrown instanceof LatchkeyError) return undefined
    throw thrown
  }
}

/** Space, tab, newline and backslash come as three octal digits. */
function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )
}

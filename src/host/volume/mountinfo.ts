import { LatchkeyError } from '../../core/errors.ts'
import { parseTargetPath } from '../../core/target-path.ts'
import { volumeIdOf } from '../../core/volume-id.ts'

/** One line of /proc/PID/mountinfo, see proc_pid_mountinfo(5). */
export interface Mount {
  /** The folder of the file system that is visible at the mount point. */
  readonly root: string
  readonly mountPoint: string
  readonly fsType: string
  readonly source: string
}

/** The layout of our volumes; a later one that this version cannot read gets another number. */
const LAYOUT = 1

/** What mountinfo shows as the source of a volume's tmpfs. */
export function sourceOf(volumeId: string): string {
  return `latchkey:${LAYOUT}:${volumeId}`
}

/** In the kernel's order, later mounts of one place after earlier ones. Odd lines are left out. */
export function parseMountinfo(text: string): readonly Mount[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after = ''] = line.split(' - ', 2)
    const [, , , root, mountPoint] = before.split(' ')
    const [fsType, source] = after.split(' ')
    if (root === undefined || mountPoint === undefined) return []
    if (fsType === undefined || source === undefined) return []
    return [
      { root: unescape(root), mountPoint: unescape(mountPoint), fsType, source: unescape(source) },
    ]
  })
}

export interface FoundVolume {
  readonly volumeId: string
  readonly targetPath: string
}

/**
 * Our volumes among a node's mounts. A subPath mount binds a file out of a volume and shows the same source
 * with another root: it is kubelet's, not ours.
 */
export function findVolumes(mounts: readonly Mount[], kubeletRoot: string): readonly FoundVolume[] {
  const found = mounts.flatMap(({ root, mountPoint, fsType, source }) => {
    if (root !== '/' || fsType !== 'tmpfs') return []
    const volumeId = volumeIdAt(mountPoint, kubeletRoot)
    return volumeId !== undefined && source === sourceOf(volumeId)
      ? [[volumeId, { volumeId, targetPath: mountPoint }] as const]
      : []
  })
  return [...new Map(found).values()]
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

import { fchmodSync, fchownSync, lchownSync } from 'node:fs'
import type { VolumeFile } from '../../core/types.ts'
import { hasCode } from './volume-io.ts'

/** Who owns what is written. */
export interface Ownership {
  /** The pod's fsGroup; undefined leaves everything to group 0. */
  readonly fsGroup: number | undefined
  /** False: where this process may not give files away they stay its own, and nobody is told. */
  readonly isRequired: boolean
}

/** A folder while it is being written: closed to everybody, which also tells it from a finished one. */
export const UNFINISHED_MODE = 0o700

/** kubelet's modes: 0755, and with fsGroup setgid, as its SetVolumeOwnership leaves a Secret volume. */
export function finishFolder(fd: number, ownership: Ownership): void {
  const { fsGroup } = ownership
  giveAway(ownership, () => {
    fchownSync(fd, 0, fsGroup ?? 0)
  })
  fchmodSync(fd, fsGroup === undefined ? 0o755 : 0o2755)
}

export function finishFile(fd: number, file: VolumeFile, ownership: Ownership): void {
  giveAway(ownership, () => {
    fchownSync(fd, file.ownerUid, ownership.fsGroup ?? 0)
  })
  // After chown, which drops bits, and in spite of the umask.
  fchmodSync(fd, file.mode)
}

export function finishLink(path: string, ownership: Ownership): void {
  giveAway(ownership, () => {
    lchownSync(path, 0, ownership.fsGroup ?? 0)
  })
}

function giveAway({ isRequired }: Ownership, chown: () => void): void {
  try {
    chown()
  } catch (thrown) {
    // EINVAL: an id that this process' user namespace does not know.
    if (isRequired || !hasCode(thrown, 'EPERM', 'EINVAL')) throw thrown
  }
}

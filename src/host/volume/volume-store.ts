import type { VolumeFile } from '../../core/types.ts'

/** One volume of this node, by what kubelet calls it and where kubelet wants it. */
export interface Volume {
  readonly volumeId: string
  readonly targetPath: string
  /** The group that owns the files; undefined leaves them to group 0 without group bits of their own. */
  readonly fsGroup: number | undefined
}

/** Which volume is meant: an id alone could be another volume's at that target. */
export type VolumeRef = Pick<Volume, 'volumeId' | 'targetPath'>

export interface VolumeStats {
  readonly bytes: Usage
  readonly inodes: Usage
}

export interface Usage {
  readonly total: number
  readonly used: number
  readonly available: number
}

/**
 * Where volumes live: tmpfs in production, plain folders where the process may not mount. Every call
 * is synchronous, for this is memory; the caller keeps calls for one volume apart.
 *
 * Throws: VolumeIo, with `leftMounted` where something may still lie at the target.
 */
export interface VolumeStore {
  /** What stands behind a volume, in a word for logs and the demo. */
  readonly kind: 'tmpfs' | 'directory'

  /**
   * Makes the volume with its first generation in it and only then lets it appear at the target. Answers its
   * `memoryOf`.
   */
  create(volume: Volume, files: readonly VolumeFile[]): number

  /** Puts a new generation in place of the current one; the old one stays readable until `prune`. */
  swap(volume: Volume, files: readonly VolumeFile[]): void

  /** Removes every generation but the current one. */
  prune(volume: Volume): void

  /** Zeroes, unlinks, unmounts and removes the target. Already gone is fine. */
  remove(volume: VolumeRef): void

  /** Reports whether this very volume is mounted at its target. */
  isMounted(volume: VolumeRef): boolean

  /**
   * Every volume of ours on this node, whoever made it, but for those whose ids are to be left out; a strange
   * entry is left out, too, never thrown over.
   */
  list(isLeftOut?: (volumeId: string) => boolean): readonly Volume[]

  /** contentsDigest of what the pod sees now, read back from the volume. */
  digest(volume: Volume): Buffer

  /** Bytes of this container's memory that the volume takes, every generation of it; 0 for one on a disk. */
  memoryOf(volume: Volume): number

  /** Space and inodes of the volume, in the units of statfs(2): bytes and counts. */
  stats(volume: VolumeRef): VolumeStats
}

import { closeSync, existsSync, lstatSync, readFileSync, realpathSync } from 'node:fs'
import { LatchkeyError } from '../../core/errors.ts'
import type { VolumeFile } from '../../core/types.ts'
import { refuseSwap, type KernelFeatures } from '../../syscalls/kernel-features.ts'
import { cloneWritable } from '../../syscalls/mount-api.ts'
import { pathIn } from './held-folder.ts'
import { KnownVolumes } from './known-volumes.ts'
import { pruneGenerations, writeGeneration } from './layout.ts'
import { findVolumes, readMounts } from './mountinfo.ts'
import { digestOf } from './read-back.ts'
import { withTarget, withTargetParent } from './target-folder.ts'
import { buildVolume, type BuildOptions } from './tmpfs-build.ts'
import { removeVolume } from './tmpfs-remove.ts'
import { hasCode, volumeIo } from './volume-io.ts'
import { readStats } from './volume-stats.ts'
import type { Volume, VolumeRef, VolumeStats, VolumeStore } from './volume-store.ts'

export interface TmpfsStoreOptions {
  readonly kubeletRoot: string
  readonly features: KernelFeatures
  /** Go on although secrets could be swapped out. */
  readonly allowSwap: boolean
  readonly maxVolumeBytes: number
  /** SELinux label for every file, where the node enforces one. */
  readonly selinuxContext?: string | undefined
  readonly now: () => Date
}

const SETGID = 0o2000
/** With its name; a file system of 64 bits has somewhat less. */
const INODE_BYTES = 1024

/** Volumes as tmpfs mounts, one each, at kubelet's targets. */
export class TmpfsStore implements VolumeStore {
  readonly kind = 'tmpfs'
  readonly #options: TmpfsStoreOptions
  readonly #build: BuildOptions
  readonly #known = new KnownVolumes()

  constructor(options: TmpfsStoreOptions) {
    this.#options = options
    this.#build = options
  }

  create(volume: Volume, files: readonly VolumeFile[]): number {
    const { features, allowSwap } = this.#options
    return volumeIo('building the volume', false, () => {
      if (!allowSwap) refuseSwap(features, readFileSync('/proc/swaps', 'utf8'))
      return withTargetParent(this.#options.kubeletRoot, volume.targetPath, (parent) =>
        buildVolume(volume, files, parent, this.#build, (rootFd) => {
          this.#known.add(volume.volumeId, rootFd)
          return memoryIn(readStats(pathIn(rootFd)))
        }),
      )
    })
  }

  swap(volume: Volume, files: readonly VolumeFile[]): void {
    const ownership = { fsGroup: volume.fsGroup, isRequired: true }
    volumeIo('swapping the volume', true, () => {
      this.#withWritable(volume, (root) => {
        writeGeneration(root, files, ownership, this.#options.now())
      })
    })
  }

  prune(volume: Volume): void {
    volumeIo('pruning the volume', true, () => {
      this.#withWritable(volume, pruneGenerations)
    })
  }

  remove(volume: VolumeRef): void {
    volumeIo('removing the volume', true, () => {
      const { kubeletRoot } = this.#options
      try {
        withTargetParent(kubeletRoot, volume.targetPath, (parent) => {
          removeVolume(parent, (fd) => this.#known.isRoot(volume.volumeId, fd))
        })
      } catch (thrown) {
        // The parent is kubelet's; it may be gone already.
        if (!hasCode(thrown, 'ENOENT')) throw thrown
      }
    })
    this.#known.forget(volume.volumeId)
  }

  isMounted(volume: VolumeRef): boolean {
    return volumeIo('looking for the volume', true, () => {
      try {
        return this.#withTarget(volume, (fd) => this.#known.isRoot(volume.volumeId, fd))
      } catch (thrown) {
        if (isNoTarget(thrown)) return false
        throw thrown
      }
    })
  }

  list(isLeftOut?: (volumeId: string) => boolean): readonly Volume[] {
    return volumeIo('looking for volumes', true, () => {
      const { kubeletRoot } = this.#options
      if (!existsSync(kubeletRoot)) return []
      // mountinfo knows no links: where kubelet's folder is one, mounts are listed by the place it leads to.
      const realRoot = realpathSync(kubeletRoot)
      return findVolumes(readMounts(), realRoot, isLeftOut).flatMap(({ volumeId, targetPath }) => {
        const root = lstatSync(targetPath, { throwIfNoEntry: false })
        if (root === undefined) return []
        // The root was made with the group and setgid where the pod has an fsGroup, see tmpfs-build.
        const fsGroup = (root.mode & SETGID) === 0 ? undefined : root.gid
        return [{ volumeId, targetPath: kubeletRoot + targetPath.slice(realRoot.length), fsGroup }]
      })
    })
  }

  digest(volume: Volume): Buffer {
    return this.#read(volume, (root) => digestOf(root))
  }

  memoryOf(volume: Volume): number {
    return memoryIn(this.stats(volume))
  }

  stats(volume: VolumeRef): VolumeStats {
    return this.#read(volume, (root) => readStats(root))
  }

  #read<T>(volume: VolumeRef, read: (root: string) => T): T {
    return volumeIo('reading the volume', true, () =>
      this.#withRoot(volume, (fd) => read(pathIn(fd))),
    )
  }

  /** Lends a view of the volume that only this process has and may write through. */
  #withWritable(volume: VolumeRef, write: (root: string) => void): void {
    this.#withRoot(volume, (fd) => {
      const clone = cloneWritable(fd)
      try {
        write(pathIn(clone))
      } finally {
        closeSync(clone)
      }
    })
  }

  #withRoot<T>(volume: VolumeRef, use: (rootFd: number) => T): T {
    return this.#withTarget(volume, (fd) => {
      if (!this.#known.isRoot(volume.volumeId, fd)) {
        throw new LatchkeyError('VolumeIo', 'what is mounted at the target is not this volume')
      }
      return use(fd)
    })
  }

  #withTarget<T>({ targetPath }: VolumeRef, use: (fd: number) => T): T {
    return withTargetParent(this.#options.kubeletRoot, targetPath, (parent) =>
      withTarget(parent, use),
    )
  }
}

function memoryIn({ bytes, inodes }: VolumeStats): number {
  return bytes.used + inodes.used * INODE_BYTES
}

/** Nothing there, no folder there, or a link on the way there. */
function isNoTarget(thrown: unknown): boolean {
  if (thrown instanceof LatchkeyError) return thrown.reason === 'VolumeIo'
  return hasCode(thrown, 'ENOENT', 'ENOTDIR', 'ELOOP')
}

import { closeSync, lstatSync, readFileSync, rmSync, statfsSync } from 'node:fs'
import type { KernelFeatures } from '../../syscalls/kernel-features.ts'
import { cloneWritable } from '../../syscalls/mount-api.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { VolumeFile } from '../../core/types.ts'
import { buildVolume, type BuildOptions } from './tmpfs-build.ts'
import { removeVolume } from './tmpfs-remove.ts'
import { oldGenerations, writeGeneration } from './layout.ts'
import { findVolumes, parseMountinfo } from './mountinfo.ts'
import { digestOf } from './read-back.ts'
import { withTarget, withTargetParent } from './target-folder.ts'
import type { Volume, VolumeStats, VolumeStore } from './volume-store.ts'
import { hasCode, volumeIo } from './volume-io.ts'

export interface TmpfsStoreOptions {
  readonly kubeletRoot: string
  readonly features: KernelFeatures
  readonly maxVolumeBytes: number
  /** SELinux label for every file, where the node enforces one. */
  readonly selinuxContext?: string | undefined
  readonly now: () => Date
}

type VolumeName = Pick<Volume, 'volumeId' | 'targetPath'>

const SETGID = 0o2000

/** Volumes as tmpfs mounts, one each, at kubelet's targets. */
export class TmpfsStore implements VolumeStore {
  readonly kind = 'tmpfs'
  readonly #options: TmpfsStoreOptions
  readonly #build: BuildOptions
  /**
   * Each volume's device number, which no other mounted file system has: tells in microseconds that what
   * lies at a target is ours, where mountinfo grows with the node.
   */
  readonly #devices = new Map<string, number>()

  constructor(options: TmpfsStoreOptions) {
    this.#options = options
    this.#build = options
  }

  create(volume: Volume, files: readonly VolumeFile[]): void {
    volumeIo('building the volume', false, () => {
      const device = withTargetParent(this.#options.kubeletRoot, volume.targetPath, (parent) =>
        buildVolume(volume, files, parent, this.#build),
      )
      this.#devices.set(volume.volumeId, device)
    })
  }

  swap(volume: Volume, files: readonly VolumeFile[]): void {
    const ownership = { fsGroup: volume.fsGroup, mayChown: true }
    volumeIo('swapping the volume', true, () => {
      this.#withWritable(volume, (root) => {
        writeGeneration(root, files, ownership, this.#options.now())
      })
    })
  }

  prune(volume: Volume): void {
    volumeIo('pruning the volume', true, () => {
      this.#withWritable(volume, (root) => {
        for (const name of oldGenerations(root)) {
          rmSync(`${root}/${name}`, { recursive: true, force: true })
        }
      })
    })
  }

  remove(volume: VolumeName): void {
    volumeIo('removing the volume', true, () => {
      const { kubeletRoot } = this.#options
      try {
        withTargetParent(kubeletRoot, volume.targetPath, (parent) => {
          removeVolume(volume, parent)
        })
      } catch (thrown) {
        // The parent is kubelet's; it may be gone already.
        if (!hasCode(thrown, 'ENOENT')) throw thrown
      }
    })
    this.#devices.delete(volume.volumeId)
  }

  isMounted(volume: VolumeName): boolean {
    const device = this.#devices.get(volume.volumeId)
    const found = lstatSync(volume.targetPath, { throwIfNoEntry: false })
    return device !== undefined && found?.dev === device
  }

  list(): readonly Volume[] {
    const mounts = parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
    return findVolumes(mounts, this.#options.kubeletRoot).flatMap((found) => {
      const root = lstatSync(found.targetPath, { throwIfNoEntry: false })
      if (root === undefined) return []
      this.#devices.set(found.volumeId, root.dev)
      // The root was made with the group and setgid where the pod has an fsGroup, see tmpfs-build.
      return [{ ...found, fsGroup: (root.mode & SETGID) === 0 ? undefined : root.gid }]
    })
  }

  digest(volume: Volume): Buffer {
    return volumeIo('reading the volume', true, () =>
      this.#withOurs(volume, ({ path }) => digestOf(path)),
    )
  }

  stats(volume: VolumeName): VolumeStats {
    return volumeIo('reading the volume', true, () =>
      this.#withOurs(volume, ({ path }) => {
        const { bsize, blocks, bavail, files, ffree } = statfsSync(path)
        return {
          bytes: usage(blocks * bsize, bavail * bsize),
          inodes: usage(files, ffree),
        }
      }),
    )
  }

  /** Lends a view of the volume that only this process has and may write through. */
  #withWritable(volume: VolumeName, write: (root: string) => void): void {
    this.#withOurs(volume, ({ fd }) => {
      const clone = cloneWritable(fd)
      try {
        write(`/proc/self/fd/${clone}`)
      } finally {
        closeSync(clone)
      }
    })
  }

  #withOurs<T>(
    volume: VolumeName,
    use: (folder: { readonly fd: number; readonly path: string }) => T,
  ): T {
    return withTargetParent(this.#options.kubeletRoot, volume.targetPath, (parent) =>
      withTarget(parent, (folder) => {
        if (lstatSync(`${folder.path}/.`).dev !== this.#devices.get(volume.volumeId)) {
          throw new LatchkeyError('VolumeIo', 'what is mounted at the target is not this volume')
        }
        return use(folder)
      }),
    )
  }
}

function usage(total: number, available: number): VolumeStats['bytes'] {
  return { total, available, used: total - available }
}

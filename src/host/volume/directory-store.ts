import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import type { VolumeFile } from '../../core/types.ts'
import { volumeIdOf } from '../../core/volume-id.ts'
import { oldGenerations, writeGeneration } from './layout.ts'
import { digestOf } from './read-back.ts'
import { volumeIo } from './volume-io.ts'
import type { Usage, Volume, VolumeStats, VolumeStore } from './volume-store.ts'
import { wipeContents } from './wipe.ts'

type VolumeName = Pick<Volume, 'volumeId' | 'targetPath'>

/** Lies beside a target and says that the folder is a volume of ours. */
const MARKER = '.latchkey'

/**
 * Plain folders in the place of mounts, for a laptop or a test that may not mount: the same layout, but
 * writable, on whatever file system lies there, and owned by this process where it is not root.
 */
export class DirectoryStore implements VolumeStore {
  readonly kind = 'directory'
  readonly #kubeletRoot: string
  readonly #now: () => Date
  readonly #mayChown = process.getuid?.() === 0

  constructor(options: { readonly kubeletRoot: string; readonly now: () => Date }) {
    this.#kubeletRoot = options.kubeletRoot
    this.#now = options.now
  }

  create(volume: Volume, files: readonly VolumeFile[]): void {
    volumeIo('building the volume', false, () => {
      mkdirSync(volume.targetPath, { mode: 0o750 })
      try {
        this.#write(volume, files)
        writeFileSync(markerOf(volume), volume.fsGroup?.toString() ?? '')
      } catch (thrown) {
        rmSync(volume.targetPath, { recursive: true, force: true })
        throw thrown
      }
    })
  }

  swap(volume: Volume, files: readonly VolumeFile[]): void {
    volumeIo('swapping the volume', true, () => {
      this.#write(volume, files)
    })
  }

  prune({ targetPath }: Volume): void {
    volumeIo('pruning the volume', true, () => {
      for (const name of oldGenerations(targetPath)) {
        rmSync(`${targetPath}/${name}`, { recursive: true, force: true })
      }
    })
  }

  remove(volume: VolumeName): void {
    volumeIo('removing the volume', true, () => {
      if (this.isMounted(volume)) wipeContents(volume.targetPath)
      rmSync(volume.targetPath, { recursive: true, force: true })
      rmSync(markerOf(volume), { force: true })
    })
  }

  isMounted(volume: VolumeName): boolean {
    return existsSync(markerOf(volume)) && existsSync(volume.targetPath)
  }

  list(): readonly Volume[] {
    const pods = `${this.#kubeletRoot}/pods`
    if (!existsSync(pods)) return []
    return readdirSync(pods).flatMap((podUid) => {
      const volumes = `${pods}/${podUid}/volumes/kubernetes.io~csi`
      if (!existsSync(volumes)) return []
      return readdirSync(volumes).flatMap((name) => {
        const volume = {
          volumeId: volumeIdOf(podUid, name),
          targetPath: `${volumes}/${name}/mount`,
          fsGroup: undefined,
        }
        if (!this.isMounted(volume)) return []
        const { gid, mode } = lstatSync(`${volume.targetPath}/..data/.`)
        return [{ ...volume, fsGroup: (mode & 0o2000) === 0 ? undefined : gid }]
      })
    })
  }

  digest({ targetPath }: Volume): Buffer {
    return volumeIo('reading the volume', true, () => digestOf(targetPath))
  }

  stats({ targetPath }: VolumeName): VolumeStats {
    return volumeIo('reading the volume', true, () => {
      const { bsize, blocks, bavail, files, ffree } = statfsSync(targetPath)
      return { bytes: usage(blocks * bsize, bavail * bsize), inodes: usage(files, ffree) }
    })
  }

  #write({ targetPath, fsGroup }: Volume, files: readonly VolumeFile[]): void {
    writeGeneration(targetPath, files, { fsGroup, mayChown: this.#mayChown }, this.#now())
  }
}

function markerOf({ targetPath }: VolumeName): string {
  return `${dirname(targetPath)}/${MARKER}`
}

function usage(total: number, available: number): Usage {
  return { total, available, used: total - available }
}

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { LatchkeyError } from '../../core/errors.ts'
import type { VolumeFile } from '../../core/types.ts'
import { volumeIdOf } from '../../core/volume-id.ts'
import { pathIn } from './held-folder.ts'
import { currentGeneration, pruneGenerations, writeGeneration } from './layout.ts'
import { digestOf } from './read-back.ts'
import {
  removeTarget,
  withNewTarget,
  withTarget,
  withTargetParent,
  type TargetParent,
} from './target-folder.ts'
import { hasCode, volumeIo } from './volume-io.ts'
import { readStats } from './volume-stats.ts'
import type { Volume, VolumeRef, VolumeStats, VolumeStore } from './volume-store.ts'
import { wipeFolder } from './wipe.ts'

/** Lies beside a target, says that the folder is a volume of ours, and holds its fsGroup. */
const MARKER = '.latchkey'

/**
 * Plain folders in the place of mounts, for a laptop or a test that may not mount: the same layout, but
 * writable, on whatever file system lies there (its space is what `stats` tells), and what this process may
 * not give to an owner or an fsGroup stays its own. `digest` tells the owner that is, so it then equals that
 * of the contents only where they named this process' uid.
 */
export class DirectoryStore implements VolumeStore {
  readonly kind = 'directory'
  readonly #kubeletRoot: string
  readonly #now: () => Date

  constructor(options: { readonly kubeletRoot: string; readonly now: () => Date }) {
    this.#kubeletRoot = options.kubeletRoot
    this.#now = options.now
  }

  create(volume: Volume, files: readonly VolumeFile[]): number {
    volumeIo('building the volume', false, () => {
      this.#withParent(volume, (parent) => {
        // Half a volume, from a process that died over it.
        if (!isWhole(parent)) removeMarked(parent)
        withNewTarget(parent, (fd) => {
          writeFileSync(markerOf(parent), volume.fsGroup?.toString() ?? '', { mode: 0o600 })
          try {
            this.#write(fd, volume, files)
          } catch (thrown) {
            wipeFolder(pathIn(fd))
            rmSync(markerOf(parent))
            throw thrown
          }
        })
      })
    })
    return this.memoryOf()
  }

  swap(volume: Volume, files: readonly VolumeFile[]): void {
    this.#withVolume('swapping the volume', volume, (fd) => {
      this.#write(fd, volume, files)
    })
  }

  prune(volume: Volume): void {
    this.#withVolume('pruning the volume', volume, (fd) => {
      pruneGenerations(pathIn(fd))
    })
  }

  remove(volume: VolumeRef): void {
    volumeIo('removing the volume', true, () => {
      try {
        this.#withParent(volume, (parent) => {
          removeMarked(parent)
          removeTarget(parent)
        })
      } catch (thrown) {
        // The parent is kubelet's; it may be gone already.
        if (!hasCode(thrown, 'ENOENT')) throw thrown
      }
    })
  }

  isMounted(volume: VolumeRef): boolean {
    try {
      return this.#withParent(volume, isWhole)
    } catch {
      return false
    }
  }

  list(isLeftOut?: (volumeId: string) => boolean): readonly Volume[] {
    const pods = `${this.#kubeletRoot}/pods`
    return namesIn(pods).flatMap((podUid) => {
      const volumes = `${pods}/${podUid}/volumes/kubernetes.io~csi`
      return namesIn(volumes).flatMap((name) => {
        const targetPath = `${volumes}/${name}/mount`
        const volumeId = volumeIdOf(podUid, name)
        if (isLeftOut?.(volumeId) === true) return []
        if (!this.isMounted({ volumeId, targetPath })) return []
        return [{ volumeId, targetPath, fsGroup: this.#withParent({ targetPath }, fsGroupOf) }]
      })
    })
  }

  digest(volume: Volume): Buffer {
    return this.#withVolume('reading the volume', volume, (fd) => digestOf(pathIn(fd)))
  }

  memoryOf(): number {
    return 0
  }

  stats(volume: VolumeRef): VolumeStats {
    return this.#withVolume('reading the volume', volume, (fd) => readStats(pathIn(fd)))
  }

  #write(fd: number, { fsGroup }: Volume, files: readonly VolumeFile[]): void {
    writeGeneration(pathIn(fd), files, { fsGroup, isRequired: false }, this.#now())
  }

  #withVolume<T>(step: string, volume: VolumeRef, use: (fd: number) => T): T {
    return volumeIo(step, true, () =>
      this.#withParent(volume, (parent) => {
        if (!isWhole(parent)) throw new LatchkeyError('VolumeIo', 'no volume lies at the target')
        return withTarget(parent, use)
      }),
    )
  }

  #withParent<T>(
    { targetPath }: Pick<VolumeRef, 'targetPath'>,
    use: (parent: TargetParent) => T,
  ): T {
    return withTargetParent(this.#kubeletRoot, targetPath, use)
  }
}

function markerOf({ fd }: TargetParent): string {
  return pathIn(fd, MARKER)
}

function fsGroupOf(parent: TargetParent): number | undefined {
  const text = readFileSync(markerOf(parent), 'utf8')
  return text === '' ? undefined : Number(text)
}

function isWhole(parent: TargetParent): boolean {
  if (!existsSync(markerOf(parent))) return false
  return currentGeneration(parent.target) !== undefined
}

function removeMarked(parent: TargetParent): void {
  if (!existsSync(markerOf(parent))) return
  if (existsSync(parent.target)) {
    withTarget(parent, (fd) => {
      wipeFolder(pathIn(fd))
    })
  }
  removeTarget(parent)
  rmSync(markerOf(parent))
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch (thrown) {
    if (hasCode(thrown, 'ENOENT', 'ENOTDIR')) return []
    throw thrown
  }
}

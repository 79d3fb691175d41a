import { contentsDigest } from '../../src/core/contents-digest.ts'
import { LatchkeyError } from '../../src/core/errors.ts'
import type { VolumeFile } from '../../src/core/types.ts'
import type { Volume, VolumeStats, VolumeStore } from '../../src/host/volume/volume-store.ts'

const PAGE_BYTES = 4096

interface Stored {
  readonly volume: Volume
  readonly digest: Buffer
  readonly files: ReadonlyMap<string, string>
}

/** A VolumeStore without a file system: remembers what was asked of it, fails when told to. */
export class MemoryStore implements VolumeStore {
  readonly kind = 'directory'
  readonly calls: string[] = []
  readonly #volumes = new Map<string, Stored>()
  failNext: 'create' | 'swap' | 'remove' | undefined

  create(volume: Volume, files: readonly VolumeFile[]): number {
    this.#call('create')
    if (this.#volumes.has(volume.volumeId)) throw new Error('a second mount on top of the first')
    this.#put(volume, files)
    return this.memoryOf(volume)
  }

  swap(volume: Volume, files: readonly VolumeFile[]): void {
    this.#call('swap')
    if (!this.#volumes.has(volume.volumeId)) throw new Error('a swap of nothing')
    this.#put(volume, files)
  }

  prune(): void {
    this.#call('prune')
  }

  remove(volume: Pick<Volume, 'volumeId'>): void {
    this.#call('remove')
    this.#volumes.delete(volume.volumeId)
  }

  isMounted(volume: Pick<Volume, 'volumeId'>): boolean {
    return this.#volumes.has(volume.volumeId)
  }

  list(isLeftOut: (volumeId: string) => boolean = () => false): readonly Volume[] {
    const volumes = [...this.#volumes.values()].map(({ volume }) => volume)
    return volumes.filter(({ volumeId }) => !isLeftOut(volumeId))
  }

  digest(volume: Volume): Buffer {
    return this.#stored(volume.volumeId).digest
  }

  memoryOf(volume: Volume): number {
    const texts = [...this.#stored(volume.volumeId).files.values()]
    return texts.reduce((sum, text) => sum + Math.ceil(text.length / PAGE_BYTES) * PAGE_BYTES, 0)
  }

  stats(): VolumeStats {
    const usage = { total: 2, used: 1, available: 1 }
    return { bytes: usage, inodes: usage }
  }

  /** What a pod would read. */
  read(volumeId: string, path: string): string | undefined {
    return this.#volumes.get(volumeId)?.files.get(path)
  }

  #put(volume: Volume, files: readonly VolumeFile[]): void {
    this.#volumes.set(volume.volumeId, {
      volume,
      digest: contentsDigest(files),
      files: new Map(files.map(({ path, data }) => [path, data.use((b) => b.toString())])),
    })
  }

  #stored(volumeId: string): Stored {
    const stored = this.#volumes.get(volumeId)
    if (stored === undefined) throw new Error('no such volume')
    return stored
  }

  #call(name: 'create' | 'swap' | 'prune' | 'remove'): void {
    this.calls.push(name)
    if (this.failNext !== name) return
    this.failNext = undefined
    throw new LatchkeyError('VolumeIo', `${name} failed as told`)
  }
}

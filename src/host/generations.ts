import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { memoryOf } from '../core/file-memory.ts'
import type { HostMetrics } from '../observability/host-metrics.ts'
import type { Logger } from '../observability/log.ts'
import type { Contents__Output } from '../wire/gen/latchkey/mount/v1/Contents.ts'
import { parseContents, wipeContents, type Generation } from './contents.ts'
import type { FileRoom } from './file-room.ts'
import type { Volume, VolumeStore } from './volume/volume-store.ts'

export interface GenerationParts {
  readonly store: VolumeStore
  readonly clock: Clock
  readonly metrics: HostMetrics
  readonly fileRoom: FileRoom
  /** How long an old generation stays for readers that are on their way to it by path. */
  readonly lingerMs: number
}

/** What one volume shows: puts generations in place, one after the other, until it is frozen. */
export class Generations {
  readonly #volume: Volume
  readonly #namespace: () => string
  readonly #parts: GenerationParts
  readonly #log: Logger
  #digest: Buffer | undefined
  #cancelPrune: (() => void) | undefined
  #frozen = false

  /**
   * `digest`: of what is mounted already, undefined for a volume that is not there yet. `namespace`: of the
   * volume's pod; '' for as long as that is not known, after an adoption.
   */
  constructor(
    volume: Volume,
    digest: Buffer | undefined,
    namespace: () => string,
    parts: GenerationParts,
    log: Logger,
  ) {
    this.#volume = volume
    this.#namespace = namespace
    this.#digest = digest
    this.#parts = parts
    this.#log = log
    if (digest === undefined) return
    this.recount()
    // What an earlier process swapped out last may lie there still.
    this.#pruneAfterLinger()
  }

  /** Of what the pod sees; undefined while nothing is mounted. */
  get digest(): Buffer | undefined {
    return this.#digest
  }

  /**
   * Makes this the generation that the pod sees; equal contents are left as they lie, so that watchers
   * do not fire for nothing.
   *
   * Throws: Overloaded · VolumeIo; with the former generation still in place.
   */
  apply(generation: Generation): void {
    if (this.#frozen) throw new LatchkeyError('OperationPending', 'the volume is being taken away')
    if (this.#digest?.equals(generation.digest) === true) return
    if (this.#digest === undefined) this.#create(generation)
    else this.#swap(generation)
    this.#digest = generation.digest
  }

  /** As `apply`, with what the daemon sent; zeroes it. Answers why not, where it could not be put in place. */
  take(contents: Contents__Output, maxVolumeBytes: number): LatchkeyError | undefined {
    try {
      this.apply(parseContents(contents, maxVolumeBytes))
      return undefined
    } catch (thrown) {
      return LatchkeyError.from(thrown)
    } finally {
      wipeContents(contents)
    }
  }

  /** Counts anew what the volume takes, and for whom. */
  recount(): void {
    const { store, fileRoom } = this.#parts
    try {
      fileRoom.set(this.#volume.volumeId, this.#namespace(), store.memoryOf(this.#volume))
    } catch (thrown) {
      // It counts as before; whoever took the mount away has taken its pages along.
      this.#log.debug({ err: LatchkeyError.from(thrown) }, 'memory of the volume not known')
    }
  }

  /** From here on nothing is written any more. */
  freeze(): void {
    this.#frozen = true
    this.#cancelPrune?.()
  }

  #create(generation: Generation): void {
    const { fileRoom, metrics, store } = this.#parts
    fileRoom.check(this.#namespace(), memoryOf(generation.files))
    const done = metrics.startStage('build')
    const bytes = store.create(this.#volume, generation.files)
    done()
    fileRoom.set(this.#volume.volumeId, this.#namespace(), bytes)
  }

  #swap(generation: Generation): void {
    // The tmpfs is sized for three generations: the current, the next, and one that is pinned by a
    // subPath mount. One that only lingers must not take the next one's room.
    if (this.#cancelPrune !== undefined) this.#prune()
    const done = this.#parts.metrics.startStage('swap')
    try {
      this.#parts.fileRoom.check(this.#namespace(), memoryOf(generation.files))
      this.#parts.store.swap(this.#volume, generation.files)
    } catch (thrown) {
      this.#parts.metrics.countSwap('failed')
      throw thrown
    } finally {
      this.recount()
    }
    done()
    this.#parts.metrics.countSwap('ok')
    this.#pruneAfterLinger()
  }

  #pruneAfterLinger(): void {
    this.#cancelPrune = this.#parts.clock.after(this.#parts.lingerMs, () => {
      this.#prune()
    })
  }

  #prune(): void {
    this.#cancelPrune?.()
    this.#cancelPrune = undefined
    try {
      this.#parts.store.prune(this.#volume)
    } catch (thrown) {
      // The pod has its new files; the old ones are tried again with the next swap.
      this.#log.warn({ err: LatchkeyError.from(thrown) }, 'old generation could not be removed')
    }
    this.recount()
  }
}

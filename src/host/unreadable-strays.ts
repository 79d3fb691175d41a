import type { LatchkeyError } from '../core/errors.ts'
import type { VolumeRef } from './volume/volume-store.ts'

/** A volume that lies here, that nobody keeps, and that could not be read back. */
export interface UnreadableStray {
  readonly volume: VolumeRef
  /** Why, in a sentence. */
  readonly why: string
}

/** The volumes which an earlier process left and this one cannot take over, as of the last look. */
export class UnreadableStrays {
  #strays: ReadonlyMap<string, UnreadableStray> = new Map()

  list(): readonly UnreadableStray[] {
    return [...this.#strays.values()]
  }

  forget(volumeId: string): void {
    this.#strays = new Map([...this.#strays].filter(([known]) => known !== volumeId))
  }

  /** What this look has found takes the place of the last; answers what is new in it. */
  replace(
    found: readonly { readonly volume: VolumeRef; readonly error: LatchkeyError }[],
  ): readonly { readonly volume: VolumeRef; readonly error: LatchkeyError }[] {
    const news = found.filter(({ volume }) => !this.#strays.has(volume.volumeId))
    this.#strays = new Map(
      found.map(({ volume, error }) => [volume.volumeId, { volume, why: error.message }]),
    )
    return news
  }
}

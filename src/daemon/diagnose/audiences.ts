const MAX_SHOWN = 16

/** For whom the tokens are that pods bring: the CSIDriver decides it, alike for all of them. */
export class Audiences {
  #latest: readonly string[] | undefined

  /** To be called with every set of tokens that comes. */
  note(audiences: readonly string[]): void {
    this.#latest = audiences.slice(0, MAX_SHOWN)
  }

  /** Of the newest set; undefined before the first one. */
  get latest(): readonly string[] | undefined {
    return this.#latest
  }
}

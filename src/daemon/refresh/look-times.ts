import { jittered } from '../../core/backoff.ts'

export interface Looker {
  readonly isUrgent: boolean
}

const SPREAD = 0.1
/** Between two looks for somebody who waits for a secret to appear: 3 to 5 seconds. */
const URGENT = { everyMs: 4_000, spread: 0.25 }

/**
 * When those are to look whom no watch tells of changes. All that are in no hurry look at the same time, so
 * that they share one fetch; those in a hurry do not hurry the others.
 */
export class LookTimes {
  readonly #intervalMs: number
  readonly #random: () => number
  readonly #atMs = new Map<boolean, number>()

  constructor(intervalMs: number, random: () => number) {
    this.#intervalMs = intervalMs
    this.#random = random
  }

  /** The next moment at which one of them is to look, set now where it was not. */
  next(nowMs: number, lookers: Iterable<Looker>): number {
    const kinds = new Set([...lookers].map(({ isUrgent }) => isUrgent))
    const times = [...kinds].map((isUrgent) => {
      const atMs = this.#atMs.get(isUrgent) ?? nowMs + this.#delayMs(isUrgent)
      this.#atMs.set(isUrgent, atMs)
      return atMs
    })
    return Math.min(...times)
  }

  /** Those whose moment has come; their next one is set by `next`. */
  takeDue<T extends Looker>(nowMs: number, lookers: Iterable<T>): readonly T[] {
    const due = new Set([...this.#atMs].filter(([, atMs]) => atMs <= nowMs).map(([kind]) => kind))
    for (const kind of due) this.#atMs.delete(kind)
    return [...lookers].filter(({ isUrgent }) => due.has(isUrgent))
  }

  clear(): void {
    this.#atMs.clear()
  }

  #delayMs(isUrgent: boolean): number {
    const everyMs = isUrgent ? Math.min(URGENT.everyMs, this.#intervalMs) : this.#intervalMs
    return jittered(everyMs, isUrgent ? URGENT.spread : SPREAD, this.#random)
  }
}

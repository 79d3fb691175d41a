import { jittered } from '../../core/backoff.ts'

export interface Looker {
  /** Somebody waits for this secret to appear: without a watch it is asked for every few seconds. */
  readonly isUrgent: boolean
  /** Between two looks while it is in no hurry; undefined takes the feed's own. */
  readonly intervalMs?: number | undefined
}

const SPREAD = 0.1
/** Between two looks for somebody who waits for a secret to appear: 3 to 5 seconds. */
const URGENT = { everyMs: 4_000, spread: 0.25 }

/** Those who look at the same times: in a hurry or not, and how often. */
type Group = `${'urgent' | 'calm'} ${number}`

/**
 * When those are to look whom no watch tells of changes. All that are in no hurry and have the same interval
 * look at the same time, so that they share one fetch; nobody else's hurry makes them look more often.
 */
export class LookTimes {
  readonly #intervalMs: number
  readonly #random: () => number
  readonly #atMs = new Map<Group, number>()

  constructor(intervalMs: number, random: () => number) {
    this.#intervalMs = intervalMs
    this.#random = random
  }

  /** The next moment at which one of them is to look, set now where it was not. */
  next(nowMs: number, lookers: Iterable<Looker>): number {
    const groups = new Map([...lookers].map((looker) => [this.#groupOf(looker), looker]))
    // Who has left is not waited for, nor is their time kept for whoever comes next.
    for (const group of this.#atMs.keys()) if (!groups.has(group)) this.#atMs.delete(group)
    const times = [...groups].map(([group, looker]) => {
      const atMs = this.#atMs.get(group) ?? nowMs + this.#delayMs(looker)
      this.#atMs.set(group, atMs)
      return atMs
    })
    return Math.min(...times)
  }

  /** Those whose moment has come; their next one is set by `next`. */
  takeDue<T extends Looker>(nowMs: number, lookers: Iterable<T>): readonly T[] {
    const due = new Set([...this.#atMs].filter(([, atMs]) => atMs <= nowMs).map(([group]) => group))
    for (const group of due) this.#atMs.delete(group)
    return [...lookers].filter((looker) => due.has(this.#groupOf(looker)))
  }

  /** When this one is to look; undefined where that is not set yet. */
  timeOf(looker: Looker): number | undefined {
    return this.#atMs.get(this.#groupOf(looker))
  }

  clear(): void {
    this.#atMs.clear()
  }

  #groupOf(looker: Looker): Group {
    return `${looker.isUrgent ? 'urgent' : 'calm'} ${this.#everyMs(looker)}`
  }

  #everyMs({ isUrgent, intervalMs = this.#intervalMs }: Looker): number {
    return isUrgent ? Math.min(URGENT.everyMs, intervalMs) : intervalMs
  }

  #delayMs(looker: Looker): number {
    return jittered(this.#everyMs(looker), looker.isUrgent ? URGENT.spread : SPREAD, this.#random)
  }
}

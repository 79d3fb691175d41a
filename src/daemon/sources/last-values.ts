import { jittered } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { namespaceOf, type SharingKey } from './sharing-key.ts'
import type { Value } from './source.ts'
import { copyValue, footprintOf, wipeValue } from './value-bytes.ts'

export interface LastValuesOptions {
  readonly clock: Clock
  /** Of memory, for all that is kept; what does not fit is not kept. One namespace gets a quarter at most. */
  readonly maxBytes: number
  readonly random?: () => number
}

/** A living volume with an item that is served while its source is away. */
export interface Keeper {
  /** How old a value it would take. */
  readonly maxAgeMs: number
  /** Nothing is kept, or it grows old: the secret is to be fetched once more. */
  readonly onDue: () => void
}

export interface LastValue {
  /** The receiver's own, to be wiped by it. */
  readonly value: Value
  /** When it was asked for: it may have changed since. */
  readonly askedAtMs: number
}

interface Kept {
  readonly value: Value
  readonly bytes: number
  askedAtMs: number
}

interface Shelf {
  readonly namespace: string
  readonly keepers: Set<Keeper>
  kept: Kept | undefined
  cancelTimer: () => void
}

const SPREAD = 0.1
/** Otherwise the first tenant would take all of it, and the others had nothing when their source is away. */
const NAMESPACE_SHARE = 1 / 4
/** Between two tries to get what is not kept: there was no room, or its source was away or said no. */
const RETRY_MS = 10 * 60_000

/**
 * What was last fetched of each secret whose pods want it so, in memory only and only while one of them
 * lives on this node: the last to leave has it wiped. A secret that does not change is fetched again before
 * half its time is over, so that what is kept is seldom older than that when its source goes away. What is
 * wanted and not kept is fetched again from time to time: there may be room for it by then.
 */
export class LastValues {
  readonly #options: LastValuesOptions
  readonly #shelves = new Map<SharingKey, Shelf>()
  readonly #bytesByNamespace = new Map<string, number>()
  #bytes = 0

  constructor(options: LastValuesOptions) {
    this.#options = options
  }

  /** Answers the function by which the keeper leaves. */
  subscribe(key: SharingKey, keeper: Keeper): () => void {
    const shelf = this.#shelves.get(key) ?? emptyShelf(namespaceOf(key))
    this.#shelves.set(key, shelf)
    shelf.keepers.add(keeper)
    this.#arm(shelf)
    if (shelf.kept === undefined) keeper.onDue()
    return () => {
      if (!shelf.keepers.delete(keeper) || shelf.keepers.size > 0) return
      this.#clear(shelf)
      this.#shelves.delete(key)
    }
  }

  /** Keeps a copy of what was fetched, where somebody wants it kept. */
  keep(key: SharingKey, value: Value, askedAtMs: number): void {
    const shelf = this.#shelves.get(key)
    // What was made for one volume alone is nobody else's, now or later.
    if (shelf === undefined || value.term !== undefined) return
    if (shelf.kept?.value.version === value.version) {
      shelf.kept.askedAtMs = Math.max(shelf.kept.askedAtMs, askedAtMs)
    } else {
      // Outdated, whether or not the newer one fits.
      this.#clear(shelf)
      const bytes = footprintOf(value)
      if (this.#hasRoom(shelf.namespace, bytes)) {
        shelf.kept = { value: copyValue(value), bytes, askedAtMs }
        this.#charge(shelf.namespace, bytes)
      }
    }
    this.#arm(shelf)
  }

  /** The source has not said that the service account may still have it. */
  drop(key: SharingKey): void {
    const shelf = this.#shelves.get(key)
    if (shelf === undefined) return
    this.#clear(shelf)
    this.#arm(shelf)
  }

  /** undefined where nothing is kept that is young enough. */
  find(key: SharingKey, maxAgeMs: number): LastValue | undefined {
    const kept = this.#shelves.get(key)?.kept
    if (kept === undefined || this.#ageMs(kept) > maxAgeMs) return undefined
    return { value: copyValue(kept.value), askedAtMs: kept.askedAtMs }
  }

  /** Of memory, for all values that are kept. */
  get bytes(): number {
    return this.#bytes
  }

  /** Secrets that somebody wants kept. */
  get size(): number {
    return this.#shelves.size
  }

  /** Wipes everything. */
  close(): void {
    for (const shelf of this.#shelves.values()) this.#clear(shelf)
    this.#shelves.clear()
  }

  #hasRoom(namespace: string, bytes: number): boolean {
    const { maxBytes } = this.#options
    const taken = this.#bytesByNamespace.get(namespace) ?? 0
    return this.#bytes + bytes <= maxBytes && taken + bytes <= maxBytes * NAMESPACE_SHARE
  }

  /** Gives back where `bytes` are negative. */
  #charge(namespace: string, bytes: number): void {
    this.#bytes += bytes
    const taken = (this.#bytesByNamespace.get(namespace) ?? 0) + bytes
    if (taken > 0) this.#bytesByNamespace.set(namespace, taken)
    else this.#bytesByNamespace.delete(namespace)
  }

  /** Before the most demanding keeper would find it too old. */
  #arm(shelf: Shelf): void {
    shelf.cancelTimer()
    const leastMs = Math.min(...agesOf(shelf))
    const halfMs = leastMs / 2
    const atMostMs = shelf.kept === undefined ? Math.min(halfMs, RETRY_MS) : halfMs
    const delayMs = jittered(atMostMs * (1 - SPREAD), SPREAD, this.#options.random)
    shelf.cancelTimer = this.#options.clock.after(delayMs, () => {
      this.#age(shelf)
    })
  }

  #age(shelf: Shelf): void {
    const { kept } = shelf
    if (kept !== undefined && this.#ageMs(kept) > Math.max(...agesOf(shelf))) this.#clear(shelf)
    this.#arm(shelf)
    const [keeper] = shelf.keepers
    if (keeper === undefined) return
    // To the end of the line: the next time another one has to fetch.
    shelf.keepers.delete(keeper)
    shelf.keepers.add(keeper)
    keeper.onDue()
  }

  /** A clock that was set back must not keep a value young. */
  #ageMs({ askedAtMs }: Kept): number {
    return Math.abs(this.#options.clock.now() - askedAtMs)
  }

  #clear(shelf: Shelf): void {
    shelf.cancelTimer()
    wipeValue(shelf.kept?.value)
    this.#charge(shelf.namespace, -(shelf.kept?.bytes ?? 0))
    shelf.kept = undefined
  }
}

function emptyShelf(namespace: string): Shelf {
  return { namespace, keepers: new Set(), kept: undefined, cancelTimer: () => undefined }
}

function agesOf({ keepers }: Shelf): readonly number[] {
  return [...keepers].map(({ maxAgeMs }) => maxAgeMs)
}

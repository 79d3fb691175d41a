import { Backoff, jittered } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { keyOfAsk, type SecretKey } from '../sources/secret-key.ts'
import { copyValue, wipeValue } from '../sources/value-bytes.ts'
import type { HeldSecret } from './bookmark.ts'

/** One that is looked after. */
export interface Held extends HeldSecret {
  readonly backoff: Backoff
  tendAtMs: number
  isDue: boolean
}

interface Replaced extends Held {
  /** The pod may see it still, for nothing newer was shown. */
  isShown: boolean
}

/** A lease or certificate is looked after when so much of its life is over. */
const TEND_AT = 2 / 3
const SPREAD = 0.1
/** Whatever a source says of a life: asking more often than this would make users and certificates by the hundred. */
const LEAST_TEND_MS = 5_000
const RETRY = { firstMs: 1_000, maxMs: 60_000 }

/** The secrets of one volume that end by themselves, with their values: those that the pod reads, and older leases. */
export class HeldSecrets {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #held = new Map<SecretKey, Held>()
  /** Their values are wiped; their leases still live. */
  #replaced: Replaced[] = []

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock
    this.#random = random
  }

  get(source: string, ask: string): Held | undefined {
    return this.#held.get(keyOfAsk(source, ask))
  }

  get held(): readonly Held[] {
    return [...this.#held.values()]
  }

  get replaced(): readonly HeldSecret[] {
    return this.#replaced
  }

  /** Those that somebody has to look after. */
  get tended(): readonly Held[] {
    return [...this.#held.values(), ...this.#replaced.filter(({ isShown }) => isShown)]
  }

  isReplaced(held: Held): boolean {
    return this.#held.get(keyOf(held)) !== held
  }

  /** Takes a secret over as it is, to be looked after at a time of the caller's. */
  put(secret: HeldSecret, tendAtMs: number, isDue: boolean): void {
    const backoff = new Backoff(RETRY, this.#random)
    this.#held.set(keyOf(secret), { ...secret, backoff, tendAtMs, isDue })
  }

  /** Keeps a copy in place of what was held before. */
  keep(secret: HeldSecret): void {
    const before = this.#held.get(keyOf(secret))
    if (before !== undefined) this.retire(before)
    const copy = { ...secret, value: copyValue(secret.value) }
    this.put(copy, this.tendAtMs(copy), false)
  }

  /** The pod may go on with an older one until that ends by itself: its lease is given back with the volume. */
  retire(secret: HeldSecret): void {
    const nowMs = this.#clock.now()
    for (const entry of secret.value.entries.values()) entry.wipe()
    secret.value.json?.wipe()
    this.#replaced = this.#replaced.filter(({ value }) => value.term.endsAtMs > nowMs)
    if (secret.value.term.lease === undefined) return
    const backoff = new Backoff(RETRY, this.#random)
    const tendAtMs = this.tendAtMs(secret)
    this.#replaced.push({ ...secret, backoff, tendAtMs, isDue: false, isShown: true })
  }

  /** The pod sees what is held. */
  settle(): void {
    for (const older of this.#replaced) older.isShown = false
  }

  /** An older one cannot be looked after any longer. */
  letGo(held: Held): void {
    for (const older of this.#replaced) if (older === held) older.isShown = false
  }

  /** Another term for the same secret. Answers it as it is now; undefined where nobody looks after it any more. */
  extend(held: Held, term: Held['value']['term']): Held | undefined {
    // It may have been replaced, or given back, while the source was asked.
    if (!this.tended.includes(held)) return undefined
    const extended = { ...held, value: { ...held.value, term } }
    extended.backoff.reset()
    extended.tendAtMs = this.tendAtMs(extended)
    const older = this.#replaced.findIndex((one) => one === held)
    if (older === -1) this.#held.set(keyOf(held), extended)
    else this.#replaced[older] = Object.assign(extended, { isShown: true })
    return extended
  }

  /** When a secret is to be looked after, by what is left of its life. */
  tendAtMs({ value: { term } }: HeldSecret): number {
    const nowMs = this.#clock.now()
    const delayMs = jittered((term.endsAtMs - nowMs) * TEND_AT, SPREAD, this.#random)
    return nowMs + Math.max(LEAST_TEND_MS, delayMs)
  }

  /** Forgets everything, bytes and all. */
  wipe(): void {
    for (const { value } of [...this.#held.values(), ...this.#replaced]) wipeValue(value)
    this.#held.clear()
    this.#replaced = []
  }
}

function keyOf({ source, ask }: HeldSecret): SecretKey {
  return keyOfAsk(source, ask)
}

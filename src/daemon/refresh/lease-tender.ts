import type { Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { Logger } from '../../observability/log.ts'
import type { Hold } from '../sources/hold.ts'
import { readAsk } from '../sources/secret-key.ts'
import type { Held, HeldSecrets } from './held-secrets.ts'

export interface LeaseTenderParts {
  readonly secrets: HeldSecrets
  /** By source. */
  readonly holds: ReadonlyMap<string, Hold>
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  /** Something is to be asked for anew. */
  readonly onDue: () => void
}

/** A lease that can be prolonged to less than this part of its life is near the longest that it may live. */
const WORTHWHILE = 1 / 3
const LEAST_PAUSE_MS = 1_000
/** Whoever waits for longer looks again: a timer holds 24 days at most. */
const MAX_DELAY_MS = 24 * 60 * 60_000

/** Looks after what ends by itself: prolongs leases in time, and has the rest asked for anew before it ends. */
export class LeaseTender {
  readonly #parts: LeaseTenderParts
  readonly #over = new AbortController()
  #cancelTimer: () => void = () => undefined

  constructor(parts: LeaseTenderParts) {
    this.#parts = parts
  }

  /** To be called whenever something else is held than before. */
  arm(): void {
    this.#cancelTimer()
    const { secrets, clock } = this.#parts
    const times = secrets.tended.map(({ tendAtMs }) => tendAtMs)
    if (this.#over.signal.aborted || times.length === 0) return
    const delayMs = Math.min(Math.max(0, Math.min(...times) - clock.now()), MAX_DELAY_MS)
    this.#cancelTimer = clock.after(delayMs, () => void this.#tendAll())
  }

  /** A session has a successor: what was leased under it ends by then. Unix time in milliseconds. */
  loseLeases(source: string, role: string, endsAtMs: number): void {
    const { secrets, clock, random } = this.#parts
    const nowMs = clock.now()
    for (const held of secrets.held) {
      const asked = readAsk(held.ask).role ?? role
      if (held.source !== source || asked !== role || held.value.term.lease === undefined) continue
      // Spread over half of what is left, for every volume of the account is told the same.
      held.tendAtMs = nowMs + Math.round((Math.max(0, endsAtMs - nowMs) / 2) * random())
      held.isDue = true
    }
    this.arm()
  }

  stop(): void {
    this.#over.abort(new LatchkeyError('ShuttingDown', 'the volume holds nothing any more'))
    this.#cancelTimer()
  }

  /** Never rejects. */
  async #tendAll(): Promise<void> {
    const { secrets, clock } = this.#parts
    const nowMs = clock.now()
    await Promise.all(
      secrets.tended.filter(({ tendAtMs }) => tendAtMs <= nowMs).map((held) => this.#tend(held)),
    )
    this.arm()
  }

  async #tend(held: Held): Promise<void> {
    const { secrets, clock, log } = this.#parts
    const isReplaced = secrets.isReplaced(held)
    if (this.#isToBeProlonged(held)) {
      try {
        if (await this.#prolong(held)) return
      } catch (thrown) {
        const { reason } = LatchkeyError.from(thrown)
        if (this.#over.signal.aborted) return
        log.warn({ reason, source: held.source }, 'lease not prolonged')
        const isOver = reason === 'SecretNotFound' || held.value.term.endsAtMs <= clock.now()
        if (!isOver && (isReplaced || !held.isDue)) {
          held.tendAtMs = this.#retryAtMs(held)
          return
        }
      }
    }
    if (isReplaced) secrets.letGo(held)
    else this.#askAnew(held)
  }

  /** One that is being asked for anew may not come soon, and the pod goes on with this one. */
  #isToBeProlonged({ isDue, value: { term } }: Held): boolean {
    if (term.lease?.isRenewable !== true) return false
    return !isDue || term.endsAtMs - this.#parts.clock.now() < term.lifeMs * WORTHWHILE
  }

  /** The refresh that follows asks for it; where that fails, it is told to again. */
  #askAnew(held: Held): void {
    held.isDue = true
    held.tendAtMs = this.#retryAtMs(held)
    this.#parts.onDue()
  }

  /** In time to prolong what can be prolonged, however long the last pause was. */
  #retryAtMs({ backoff, value: { term } }: Held): number {
    const nowMs = this.#parts.clock.now()
    const delayMs = backoff.nextMs()
    const leftMs = term.endsAtMs - nowMs
    const isEnding = term.lease?.isRenewable === true && leftMs > 0
    return nowMs + (isEnding ? Math.min(delayMs, Math.max(LEAST_PAUSE_MS, leftMs / 2)) : delayMs)
  }

  /** Reports whether it is looked after by that. */
  async #prolong(held: Held): Promise<boolean> {
    const { secrets, holds, clock } = this.#parts
    const { lease, lifeMs } = held.value.term
    const hold = holds.get(held.source)
    if (lease === undefined || hold === undefined) return false
    const prolonged = await hold.prolong(held.ask, lease, lifeMs, this.#over.signal)
    const { endsAtMs, isRenewable } = prolonged
    const extended = secrets.extend(held, { lease: { ...lease, isRenewable }, lifeMs, endsAtMs })
    if (extended === undefined) return true
    const isWorthwhile = endsAtMs - clock.now() >= lifeMs * WORTHWHILE
    if (secrets.isReplaced(extended)) {
      if (!isWorthwhile) secrets.letGo(extended)
    } else if (extended.isDue || !isWorthwhile) this.#askAnew(extended)
    return true
  }
}

import type { Clock } from '../../core/clock.ts'
import { isAway, LatchkeyError, type Reason } from '../../core/errors.ts'
import type { Workload } from '../identity/workload.ts'
import type { Fetcher } from './fetcher.ts'
import type { LastValues } from './last-values.ts'
import { sharingKeyOf } from './sharing-key.ts'
import type { Value } from './source.ts'

/** A value came from memory, because its source was away. */
export interface Stale {
  /** When the source was asked that gave it. Unix time in milliseconds. */
  readonly sinceMs: number
  /** Why the source was not asked now. */
  readonly reason: Reason
}

export interface Fetched extends Value {
  readonly stale?: Stale | undefined
}

export interface Fetching {
  /** `lastForMs`: how old a value may be that was kept for when its source is away; undefined takes none. */
  fetch(
    workload: Workload,
    from: string,
    secret: string,
    signal: AbortSignal,
    lastForMs?: number,
  ): Promise<Fetched>
}

export interface ServeLastParts {
  readonly fetcher: Pick<Fetcher, 'fetch'>
  readonly lastValues: LastValues
  readonly clock: Clock
}

/** The source was not even asked: nobody said anything against what was given before. */
const NOT_ASKED: ReadonlySet<Reason> = new Set(['Overloaded', 'ShuttingDown'])

/**
 * Fetches, and has what was fetched kept for items with `onOutage: serve-last`. Whoever asks has been proven
 * by a review of its own, and gets only what the very same service account was given before.
 *
 * Throws: what the fetcher throws.
 */
export function serveLast({ fetcher, lastValues, clock }: ServeLastParts): Fetching {
  return {
    async fetch(workload, from, secret, signal, lastForMs) {
      const key = sharingKeyOf(workload, from, secret)
      const askedAtMs = clock.now()
      try {
        const value = await fetcher.fetch(workload, from, secret, signal)
        if (value.term === undefined) lastValues.keep(key, value, askedAtMs)
        return value
      } catch (thrown) {
        const { reason } = LatchkeyError.from(thrown)
        if (signal.aborted) throw thrown
        // Sources withdraw a right with more words than AccessDenied: a Vault rejects the token or the role. Where
        // the word was meant for one pod alone, what is dropped in vain is soon fetched again by another.
        if (!isAway(reason) && !NOT_ASKED.has(reason)) lastValues.drop(key)
        const isServed = lastForMs !== undefined && isAway(reason)
        const last = isServed ? lastValues.find(key, lastForMs) : undefined
        if (last === undefined) throw thrown
        // Even what was said to be unchangeable has to be looked at again once the source is back.
        const stale = { sinceMs: last.askedAtMs, reason }
        return { ...last.value, immutable: false, stale }
      }
    },
  }
}

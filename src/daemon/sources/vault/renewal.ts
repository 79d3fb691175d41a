import { Backoff, jittered } from '../../../core/backoff.ts'
import { sleep } from '../../../core/clock.ts'
import { LatchkeyError } from '../../../core/errors.ts'
import { MAX_STEP_MS } from './long-timer.ts'
import type { SharedSessionOptions } from './session-options.ts'
import type { Session } from './vault-api.ts'
import { isTrouble } from './vault-error.ts'

const RENEW_AT = 2 / 3
const RENEW_SPREAD = 0.1
/** A renewal that gives less than this part of the first life meets the longest life that Vault allows. */
const FULL = 0.9
/** Whatever a server says of a life: it is not asked in a tighter loop than this. */
const LEAST_DELAY_MS = 1_000
const LEAST_PAUSE_MS = 5_000

export const RENEWAL_RETRY = { firstMs: 1_000, maxMs: 60_000 }

/** When to renew what has so much left of its life; never at once. */
export function renewalDelayMs(remainingMs: number, random: () => number): number {
  return Math.max(LEAST_DELAY_MS, jittered(remainingMs * RENEW_AT, RENEW_SPREAD, random))
}

export function isFullRenewal(durationMs: number, lifeMs: number): boolean {
  return durationMs >= lifeMs * FULL
}

type KeepAliveParts = Pick<SharedSessionOptions, 'api' | 'clock' | 'random' | 'onEvent'>

/**
 * Keeps a session alive that no call is made with, until the signal aborts or Vault lets it live no longer. Never
 * rejects.
 */
export async function keepAlive(
  session: Session,
  { api, clock, random, onEvent }: KeepAliveParts,
  signal: AbortSignal,
): Promise<void> {
  const backoff = new Backoff(RENEWAL_RETRY, random)
  const isOver = (): boolean => signal.aborted
  while (!isOver()) {
    try {
      const { remainingMs, lifeMs, renewable } = await api.lookupSelf(session, signal)
      if (!renewable || remainingMs === Infinity || lifeMs === 0) return
      const delayMs = Math.max(LEAST_PAUSE_MS, renewalDelayMs(remainingMs, random))
      await sleep(clock, Math.min(delayMs, MAX_STEP_MS), signal)
      const { durationMs } = await api.renewSelf(session, lifeMs, signal)
      onEvent({ what: 'renewed' })
      if (durationMs === 0 || !isFullRenewal(durationMs, lifeMs)) return
      backoff.reset()
    } catch (thrown) {
      if (isOver() || isTrouble(thrown, 'dead-token')) return
      onEvent({ what: 'not-renewed', reason: LatchkeyError.from(thrown).reason })
      await sleep(clock, Math.max(LEAST_PAUSE_MS, backoff.nextMs()), signal).catch(() => undefined)
    }
  }
}

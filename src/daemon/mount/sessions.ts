import type { Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { Resume__Output } from '../../wire/gen/latchkey/mount/v1/Resume.ts'
import type { Holdings } from '../refresh/holdings.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { ListedSession } from './listing.ts'
import type { Session } from './session.ts'
import { KEEP_AT_MOST_MS, MAX_KEPT, UnservedHoldings } from './unserved-holdings.ts'

interface Detached {
  readonly session: Session
  readonly sinceMs: number
  readonly cancelExpiry: () => void
}

export interface SessionsEvents {
  readonly admitted?: () => void
  /** The last volume of a service account is forgotten. */
  readonly accountGone?: () => void
}

/**
 * Every authorised volume, by id: with a stream, or detached for a while after its stream broke, so that
 * a restarted shim can take it up again without tokens.
 */
export class Sessions {
  /** Of volumes that have no session. */
  readonly unserved: UnservedHoldings
  readonly #clock: Clock
  readonly #budget: ByteBudget
  readonly #on: SessionsEvents
  readonly #live = new Map<string, Session>()
  readonly #detached = new Map<string, Detached>()
  readonly #opening = new Map<string, Holdings>()

  constructor(clock: Clock, budget: ByteBudget, on: SessionsEvents = {}) {
    this.unserved = new UnservedHoldings(clock)
    this.#clock = clock
    this.#budget = budget
    this.#on = on
  }

  /** Makes an authorised session the volume's only one. */
  admit(session: Session): Session {
    const { volumeId } = session.volume
    this.#live.get(volumeId)?.displace()
    this.endDetached(volumeId)
    this.#live.set(volumeId, session)
    this.#on.admitted?.()
    return session
  }

  /**
   * Throws: UnknownSession, in the same words for a volume that is not held, is held by a living stream,
   * has another target, or was never sent what the shim shows: the asker learns nothing about it.
   */
  resume({ volumeId, targetPath, digest }: Resume__Output): Session {
    const session = this.#detached.get(volumeId)?.session
    if (session?.volume.targetPath !== targetPath || !session.hasSent(digest)) {
      throw new LatchkeyError('UnknownSession', 'no such session to resume; open it with tokens')
    }
    this.#detached.get(volumeId)?.cancelExpiry()
    this.#detached.delete(volumeId)
    this.#live.set(volumeId, session)
    return session
  }

  /** The stream broke: the session waits for a Resume until its reviewed token expires. */
  detach(session: Session): void {
    const { volumeId } = session.volume
    if (this.#live.get(volumeId) !== session) {
      session.end()
      return
    }
    this.#live.delete(volumeId)
    const keepMs = Math.min(session.expiresAtMs - this.#clock.now(), KEEP_AT_MOST_MS)
    if (keepMs <= 0 || !session.hasCommitted) {
      if (session.holdings) this.unserved.keep(volumeId, session.holdings.join())
      this.#end(session)
      return
    }
    const cancelExpiry = this.#clock.after(keepMs, () => {
      this.endDetached(volumeId)
    })
    this.#detached.set(volumeId, { session, sinceMs: this.#clock.now(), cancelExpiry })
    const [oldest] = this.#detached.keys()
    if (this.#detached.size > MAX_KEPT && oldest !== undefined) this.endDetached(oldest)
  }

  /** The volume is gone from the node. */
  forget(session: Session): void {
    const { volumeId } = session.volume
    if (this.#live.get(volumeId) !== session) {
      session.end()
      return
    }
    this.#live.delete(volumeId)
    this.#end(session)
  }

  /** The volume's own, with a stream or without. */
  find(volumeId: string): Session | undefined {
    return this.#live.get(volumeId) ?? this.#detached.get(volumeId)?.session
  }

  /** An Open goes on with these, and nobody else is to give them back. Answers what says that it is over. */
  beginOpen(volumeId: string, holdings: Holdings): () => void {
    this.#opening.set(volumeId, holdings)
    return () => {
      if (this.#opening.get(volumeId) === holdings) this.#opening.delete(volumeId)
    }
  }

  /** What somebody is being served with, or is about to be. */
  holdingsInUse(volumeId: string): Holdings | undefined {
    return this.#live.get(volumeId)?.holdings ?? this.#opening.get(volumeId)
  }

  /** Every session, in no order. */
  list(): readonly ListedSession[] {
    const live = this.#live.values().map((session) => ({ session, isLive: true }))
    const detached = this.#detached.values().map(({ session }) => ({ session, isLive: false }))
    return [...live, ...detached]
  }

  count(): { readonly live: number; readonly detached: number } {
    return { live: this.#live.size, detached: this.#detached.size }
  }

  /** The session that was left behind by a broken stream. */
  findDetached(volumeId: string): Session | undefined {
    return this.#detached.get(volumeId)?.session
  }

  /** Those that were left behind by then. */
  detachedBefore(atMs: number): readonly Session[] {
    return [...this.#detached.values()]
      .filter(({ sinceMs }) => sinceMs <= atMs)
      .map(({ session }) => session)
  }

  /** Drops what is only waiting, so that nothing keeps the process alive. */
  close(): void {
    for (const volumeId of [...this.#detached.keys()]) this.endDetached(volumeId)
    this.unserved.close()
  }

  /** Nobody comes back for it. */
  endDetached(volumeId: string): void {
    const detached = this.#detached.get(volumeId)
    if (detached === undefined) return
    detached.cancelExpiry()
    this.#detached.delete(volumeId)
    this.#end(detached.session)
  }

  #end(session: Session): void {
    session.end()
    if (!this.#hasAccountOf(session)) this.#on.accountGone?.()
    if (!this.#live.has(session.volume.volumeId)) this.#budget.release(session.volume.volumeId)
  }

  /** Without a list: many volumes may leave at once. */
  #hasAccountOf(gone: Session): boolean {
    const isSame = (other: Session): boolean => isSameAccount(other, gone)
    const detached = this.#detached.values().map(({ session }) => session)
    return this.#live.values().some(isSame) || detached.some(isSame)
  }
}

function isSameAccount({ volume: a }: Session, { volume: b }: Session): boolean {
  return a.pod.namespace === b.pod.namespace && a.pod.serviceAccount === b.pod.serviceAccount
}

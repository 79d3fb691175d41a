import { LatchkeyError } from '../../core/errors.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'
import type { Workload } from '../identity/workload.ts'
import type { Lease } from './source.ts'

/** A session at a source, as a restarted daemon takes it up again. */
export interface Login {
  /** The source's name. */
  readonly source: string
  readonly role: string
  readonly token: SecretBytes
  /** Of one volume alone, for what is leased to it; the others are shared by a service account's volumes. */
  readonly isOwn: boolean
  /** Something may be leased under it that nobody knows of: it is to be ended. */
  readonly isDoubted: boolean
}

export interface HoldOptions {
  /** Names the volume's own sessions; fetches that carry it as `Workload.holder` lease under those. */
  readonly holder: string
  /** From before a restart; given up. */
  readonly resume: readonly Login[]
  /** The pod may see what is leased under doubted ones: they are to live until `settle`. */
  readonly isShown: boolean
  /** There is a new login with this role: what was leased under older ones ends by then. Unix time in ms. */
  readonly onReplaced: (role: string, endsAtMs: number) => void
}

/** A lease prolonged. Unix time in milliseconds. */
export interface Prolonged {
  readonly endsAtMs: number
  readonly isRenewable: boolean
}

/**
 * One volume's part in the sessions that a source keeps for the pods of a service account, and its own ones, for
 * what is leased: while a volume holds a session, it is kept alive; with the last one it ends.
 */
export interface Hold {
  /** Newer tokens of the volume's pod. */
  offer(workload: Workload): void
  /** Logs in where nobody has: what is leased afterwards ends with that session at the latest. Throws as fetch. */
  open(signal: AbortSignal): Promise<void>
  /** Whether asking for this may lease something, as `open` has found out. */
  mayLease(ask: string): boolean
  /**
   * An answer about this was lost, and with it perhaps the name of a lease: what is leased from now on is under
   * another session. The doubted one ends now, or where the pod may see what is leased under it, with `settle`.
   */
  doubt(ask: string, isShown: boolean): void
  /** The pod sees nothing any more that is leased under a doubted session: those end. */
  settle(): void
  /** Throws as fetch; SecretNotFound where the lease is gone. */
  prolong(ask: string, lease: Lease, lifeMs: number, signal: AbortSignal): Promise<Prolonged>
  /** One that is gone already is given back. Throws as fetch. */
  giveBack(ask: string, lease: Lease, signal: AbortSignal): Promise<void>
  /** Copies, the receiver's own. */
  logins(): readonly Login[]
  /** Lets go without a word: whoever resumes the logins goes on. */
  drop(): void
  /** For good. Reports whether the source has acknowledged it, or others hold the session still. */
  release(): Promise<boolean>
}

/** An error of a source that knows whether the answer was lost on its way. */
export interface Unheard {
  readonly isUnheard: boolean
}

/** Asked for, and perhaps given: the answer was lost on its way. */
export function isUnheard(thrown: unknown): boolean {
  if (!(thrown instanceof LatchkeyError)) return true
  return thrown.reason === 'Timeout' || (thrown as Partial<Unheard>).isUnheard === true
}

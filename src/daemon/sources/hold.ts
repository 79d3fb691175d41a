import type { SecretBytes } from '../../core/secret-bytes.ts'
import type { Workload } from '../identity/workload.ts'
import type { Lease } from './source.ts'

/** A session at a source, as a restarted daemon takes it up again. */
export interface Login {
  /** The source's name. */
  readonly source: string
  readonly role: string
  readonly token: SecretBytes
}

export interface HoldOptions {
  /** From before a restart; given up. */
  readonly resume: readonly Login[]
  /** There is a new login with this role: what was leased under older ones ends by then. Unix time in ms. */
  readonly onReplaced: (role: string, endsAtMs: number) => void
}

/** A lease prolonged. Unix time in milliseconds. */
export interface Prolonged {
  readonly endsAtMs: number
  readonly isRenewable: boolean
}

/**
 * One volume's part in the sessions that a source keeps for the pods of a service account: while a volume
 * holds it, the session is kept alive; with the last one it ends.
 */
export interface Hold {
  /** Newer tokens of the volume's pod. */
  offer(workload: Workload): void
  /** Logs in where nobody has: what is leased afterwards ends with that session at the latest. Throws as fetch. */
  open(signal: AbortSignal): Promise<void>
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

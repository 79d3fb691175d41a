import type { Clock } from '../../../core/clock.ts'
import type { Reason } from '../../../core/errors.ts'
import type { Farewell } from './sessions.ts'
import type { Session, VaultApi } from './vault-api.ts'

/** There is a new login. What was leased under the older one ends by then, and is to be asked for anew. Unix time in ms. */
export type OnReplaced = (previousEndsAtMs: number) => void

export type SessionEvent =
  | { readonly what: 'opened' | 'resumed' | 'renewed' | 'replaced' | 'ended' }
  | { readonly what: 'not-renewed' | 'not-ended'; readonly reason: Reason }

export interface SharedSessionOptions {
  readonly api: VaultApi
  readonly clock: Clock
  readonly random: () => number
  readonly role: string
  /** Aborts when the daemon stops. */
  readonly closing: AbortSignal
  readonly onEvent: (event: SessionEvent) => void
  /** Ends a session at the other side, wipes its token, and never rejects. */
  readonly end: (session: Session) => Promise<Farewell>
}

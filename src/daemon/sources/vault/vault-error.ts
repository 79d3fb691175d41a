import { LatchkeyError, type Reason } from '../../../core/errors.ts'
import type { Unheard } from '../hold.ts'

/**
 * What a caller can do something about: log in once more, or ask for a new lease.
 */
export type VaultTrouble = 'dead-token' | 'gone-lease'

export interface VaultErrorDetails extends ErrorOptions {
  readonly trouble?: VaultTrouble | undefined
  /** When asking again makes sense; measured from now. */
  readonly retryAfterMs?: number | undefined
  /** Whoever asks for something else would hear the same: sealed, overloaded, not there. */
  readonly isSourceWide?: boolean | undefined
  /** The call went out, and what it came to was lost on the way. */
  readonly isUnheard?: boolean | undefined
  /** The trouble is what we make of a refusal; the server did not say so. */
  readonly isInferred?: boolean | undefined
  /** Of the HTTP answer, where there was one. */
  readonly status?: number | undefined
}

/** A LatchkeyError that knows more about what a Vault said. */
export class VaultError extends LatchkeyError implements Unheard {
  readonly trouble: VaultTrouble | undefined
  readonly retryAfterMs: number | undefined
  readonly isSourceWide: boolean
  readonly isUnheard: boolean
  readonly isInferred: boolean
  readonly status: number | undefined

  constructor(reason: Reason, message: string, details: VaultErrorDetails = {}) {
    super(reason, message, details)
    this.trouble = details.trouble
    this.retryAfterMs = details.retryAfterMs
    this.isSourceWide = details.isSourceWide ?? false
    this.isUnheard = details.isUnheard ?? false
    this.isInferred = details.isInferred ?? false
    this.status = details.status
  }
}

export function isTrouble(thrown: unknown, trouble: VaultTrouble): thrown is VaultError {
  return thrown instanceof VaultError && thrown.trouble === trouble
}

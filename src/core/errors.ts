/** Why something was refused or failed: the same word on the wire, in logs, metrics, events and docs. */
export const REASONS = [
  'InvalidRequest',
  'TokenMissing',
  'TokenRejected',
  'PodMismatch',
  'AccessDenied',
  'SecretNotFound',
  'VolumeConflict',
  'VolumeNotFound',
  'UnknownSession',
  'PayloadTooLarge',
  'Unsupported',
  'OperationPending',
  'SourceUnavailable',
  'KubeUnavailable',
  'DaemonUnavailable',
  'ShuttingDown',
  'Timeout',
  'Overloaded',
  'VolumeIo',
  'Internal',
] as const

export type Reason = (typeof REASONS)[number]

export function isReason(word: string): word is Reason {
  return (REASONS as readonly string[]).includes(word)
}

export interface ErrorDetails extends ErrorOptions {
  /**
   * Bytes may still lie at the target. kubelet forgets a volume after a final code, so such an
   * error must go out under a code that makes it unpublish later.
   */
  readonly leftMounted?: boolean
}

/**
 * The one error of this project. `message` is for the user who reads the pod's events: it names what
 * to fix and never holds a value. `cause` is for the log only.
 */
export class LatchkeyError extends Error {
  readonly reason: Reason
  readonly leftMounted: boolean

  constructor(reason: Reason, message: string, details: ErrorDetails = {}) {
    super(message, details)
    this.name = 'LatchkeyError'
    this.reason = reason
    this.leftMounted = details.leftMounted ?? false
  }

  /** The one way in for what was thrown elsewhere: unknown things become Internal. */
  static from(thrown: unknown): LatchkeyError {
    if (thrown instanceof LatchkeyError) return thrown
    // The text of a foreign error may quote what it choked on, so it stays in `cause`.
    return new LatchkeyError('Internal', 'an unexpected error; the log has the details', {
      cause: thrown,
    })
  }
}

/** Reasons that may pass by themselves: a retry with the same words can succeed. */
export function isTransient(reason: Reason): boolean {
  return TRANSIENT.has(reason)
}

const TRANSIENT: ReadonlySet<Reason> = new Set([
  'SecretNotFound',
  'OperationPending',
  'SourceUnavailable',
  'KubeUnavailable',
  'DaemonUnavailable',
  'ShuttingDown',
  'Timeout',
  'Overloaded',
])

/** The source said nothing, neither yes nor no. */
export function isAway(reason: Reason): boolean {
  return AWAY.has(reason)
}

const AWAY: ReadonlySet<Reason> = new Set(['SourceUnavailable', 'KubeUnavailable', 'Timeout'])

import type { SecretBytes } from '../../core/secret-bytes.ts'
import type { Workload } from '../identity/workload.ts'

/** One secret as a source has it now. Whoever receives it owns the bytes and wipes them. */
export interface Value {
  /** The source's own version, compared for equality only. */
  readonly version: string
  readonly entries: ReadonlyMap<string, SecretBytes>
  /** Never changes any more: need not be watched or asked for again. */
  readonly immutable: boolean
}

/** Notice that a secret changed; the bytes are fetched separately. */
export interface Change {
  readonly version: string
  readonly present: boolean
}

/**
 * A place that keeps secrets, read with a pod's own identity.
 *
 * Throws (every call): SecretNotFound · AccessDenied, with what grants it · TokenMissing, naming the line
 * to add to the CSIDriver · TokenRejected · SourceUnavailable or KubeUnavailable · Timeout.
 */
export interface Source {
  /** The name that items use in `from`. */
  readonly name: string

  /** The pod token it needs; "" is the API server's own audience. */
  readonly audience: string

  fetch(workload: Workload, secret: string, signal: AbortSignal): Promise<Value>

  /**
   * Where the source can tell of changes. Begins with what is there, if anything, so that whoever watches
   * anew misses nothing that happened in between. Ends quietly when the source ends it. AccessDenied
   * means that this pod may fetch but not watch, and is asked at an interval instead.
   */
  watch?(workload: Workload, secret: string, signal: AbortSignal): AsyncIterable<Change>
}

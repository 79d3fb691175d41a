import type { SecretBytes } from '../../core/secret-bytes.ts'
import type { Workload } from '../identity/workload.ts'
import type { Hold, HoldOptions } from './hold.ts'

/** One secret as a source has it now. Whoever receives it owns the bytes and wipes them. */
export interface Value {
  /** The source's own version, compared for equality only. */
  readonly version: string
  readonly entries: ReadonlyMap<string, SecretBytes>
  /** All of it as one JSON text, where the source has it so. */
  readonly json?: SecretBytes | undefined
  /** Never changes any more: need not be watched or asked for again. */
  readonly immutable: boolean
  /** Ends by itself: it belongs to one volume, which replaces it in time and is not given it twice. */
  readonly term?: Term | undefined
}

/** How long a value lives that does not live for ever. */
export interface Term {
  /** By which it is prolonged and given back; undefined for one that can only be replaced. */
  readonly lease: Lease | undefined
  readonly lifeMs: number
  /** Unix time in milliseconds. */
  readonly endsAtMs: number
}

export interface Lease {
  /** Opens nothing by itself, and is shown nowhere all the same. */
  readonly id: SecretBytes
  readonly isRenewable: boolean
}

/** Notice that a secret changed; the bytes are fetched separately. */
export interface Change {
  readonly version: string
  readonly present: boolean
}

/**
 * A place that keeps secrets, read with a pod's own identity. What it is asked for is a text by the rules of
 * `askOf`: the secret's name, and whatever else of an item makes it another secret.
 *
 * Throws (every call): SecretNotFound · AccessDenied, with what grants it · TokenMissing, naming the line
 * to add to the CSIDriver · TokenRejected · SourceUnavailable or KubeUnavailable · Timeout.
 */
export interface Source {
  /** The name that items use in `from`. */
  readonly name: string

  /** The pod token it needs; "" is the API server's own audience. */
  readonly audience: string

  fetch(workload: Workload, ask: string, signal: AbortSignal): Promise<Value>

  /** Where the source keeps sessions; `asks` is all that the volume names of it. */
  hold?(workload: Workload, asks: readonly string[], options: HoldOptions): Hold

  /**
   * Where the source can tell of changes. Begins with what is there, if anything, so that whoever watches
   * anew misses nothing that happened in between. Ends quietly when the source ends it. AccessDenied
   * means that this pod may fetch but not watch, and is asked at an interval instead.
   */
  watch?(workload: Workload, ask: string, signal: AbortSignal): AsyncIterable<Change>
}

import type { SecretBytes } from '../../core/secret-bytes.ts'
import type { ProbeApiServer } from './api-probe.ts'
import type { CreatePodEvent } from './pod-event.ts'

/** status of a TokenReview (authentication.k8s.io/v1), unset fields made explicit. */
export interface TokenReviewStatus {
  readonly authenticated: boolean
  readonly audiences: readonly string[]
  readonly username: string
  /** The service account's uid. */
  readonly userUid: string
  /** Such as authentication.kubernetes.io/pod-name, pod-uid, node-name, credential-id. */
  readonly extra: ReadonlyMap<string, readonly string[]>
  /** The API server's own words where it rejects the token; never holds the token. */
  readonly error: string
}

export interface SecretRef {
  readonly namespace: string
  readonly name: string
}

export interface KubeSecret {
  readonly resourceVersion: string
  readonly immutable: boolean
  readonly data: ReadonlyMap<string, SecretBytes>
}

/**
 * What a watch says. Only versions travel, no value crosses the wire for a notice: not even metadata is
 * asked for, since `kubectl apply` leaves the values in an annotation.
 */
export interface SecretEvent {
  readonly type: 'present' | 'deleted'
  readonly resourceVersion: string
}

/**
 * The few calls the daemon makes to the API server, over one pool of kept-alive connections.
 *
 * Throws (every call): KubeUnavailable (no connection, 5xx, 429) · Timeout · ShuttingDown (closed) ·
 * the signal's reason.
 */
export interface KubeClient {
  /** Asks, with the daemon's own credentials, whom a token belongs to. One round trip, no cache. */
  reviewToken(
    token: SecretBytes,
    audiences: readonly string[],
    signal: AbortSignal,
  ): Promise<TokenReviewStatus>

  /**
   * Reads a Secret with a pod's token, values as bytes.
   * Throws also: AccessDenied (403) · TokenRejected (401) · SecretNotFound (404) · PayloadTooLarge.
   */
  readSecret(ref: SecretRef, podToken: SecretBytes, signal: AbortSignal): Promise<KubeSecret>

  /**
   * Watches one Secret by name with a pod's token. Ends without error where the API server ends it
   * (timeout, 410, restart): read again, then watch again. `sinceVersion` undefined starts with what is there.
   * Throws also: AccessDenied (the pod may not watch) · TokenRejected · Overloaded (too many at once).
   */
  watchSecret(
    ref: SecretRef,
    sinceVersion: string | undefined,
    podToken: SecretBytes,
    signal: AbortSignal,
  ): AsyncIterable<SecretEvent>

  close(): Promise<void>
}

/** What the daemon asks and says on its own account; no pod waits for it. */
export interface KubeErrands {
  /** Throws: AccessDenied (events may not be created) · KubeUnavailable · Timeout · ShuttingDown. */
  readonly createPodEvent: CreatePodEvent
  /** Throws: KubeUnavailable · Timeout · ShuttingDown. */
  readonly probeApiServer: ProbeApiServer
}

import type { LatchkeyError } from '../core/errors.ts'

/** The fields of a log line; the same name means the same thing everywhere. */
export interface LogFields {
  /** Shown as reason, message and causes. */
  readonly err?: LatchkeyError
  /** Of the error, for whoever searches; or what kubelet said in its own words. */
  readonly reason?: string | undefined
  readonly volumeId?: string
  readonly namespace?: string
  readonly pod?: string
  readonly podUid?: string
  readonly serviceAccount?: string
  readonly node?: string
  /** A source's name from the configuration. */
  readonly source?: string
  /** What a source was asked to do. */
  readonly operation?: string
  /** Ours for one call to a source, which is sent along. */
  readonly callId?: string
  /** The source's own for the same call. */
  readonly requestId?: string | undefined
  /** Of an answer over HTTP. */
  readonly status?: number | undefined
  /** By which pods log in at a source. */
  readonly role?: string
  readonly generation?: number
  /** The gRPC method. */
  readonly method?: string
  readonly durationMs?: number
  readonly attempt?: number
  readonly path?: string
  readonly count?: number
  /** Of Latchkey. */
  readonly version?: string
}

type Kind = 'string' | 'number' | 'error'

/** What each field may hold, looked at when a line is written. */
export const FIELD_KINDS: Readonly<Record<keyof LogFields, Kind>> = {
  err: 'error',
  reason: 'string',
  volumeId: 'string',
  namespace: 'string',
  pod: 'string',
  podUid: 'string',
  serviceAccount: 'string',
  node: 'string',
  source: 'string',
  operation: 'string',
  callId: 'string',
  requestId: 'string',
  status: 'number',
  role: 'string',
  generation: 'number',
  method: 'string',
  durationMs: 'number',
  attempt: 'number',
  path: 'string',
  count: 'number',
  version: 'string',
}

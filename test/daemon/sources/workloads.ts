import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { Workload } from '../../../src/daemon/identity/workload.ts'

export const EXPIRES_AT_MS = Date.UTC(2026, 0, 1, 0, 10)

export interface WorkloadChanges {
  readonly namespace?: string
  readonly podName?: string
  readonly serviceAccount?: string
  readonly serviceAccountUid?: string
  readonly expiresAtMs?: number
  /** The text of the API server's token; null leaves it out. */
  readonly token?: string | null
}

/** A reviewed pod `api-0` of service account `api` in namespace `shop`. */
export function workloadOf(changes: WorkloadChanges = {}): Workload {
  const { expiresAtMs = EXPIRES_AT_MS, token = 'api-token' } = changes
  const audience = ''
  const tokens =
    token === null ? [] : [{ audience, token: new SecretBytes(Buffer.from(token)), expiresAtMs }]
  return {
    pod: {
      namespace: changes.namespace ?? 'shop',
      name: changes.podName ?? 'api-0',
      uid: '11111111-2222-4333-8444-555555555555',
      serviceAccount: changes.serviceAccount ?? 'api',
    },
    serviceAccountUid: changes.serviceAccountUid ?? 'sa-uid-1',
    expiresAtMs,
    tokens: new Map(tokens.map((one) => [one.audience, one])),
  }
}

/** The text of the token for the API server. */
export function tokenOf(workload: Workload): string {
  return workload.tokens.get('')?.token.use((bytes) => bytes.toString()) ?? '(none)'
}

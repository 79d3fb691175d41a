import { LatchkeyError } from '../../../core/errors.ts'
import type { Clock } from '../../../core/clock.ts'
import type { ServiceToken } from '../../../core/types.ts'
import type { Workload } from '../../identity/workload.ts'
import { readAsk } from '../secret-key.ts'
import type { Source, Term, Value } from '../source.ts'
import type { VaultSecret } from './read-answer.ts'
import type { SessionOwner, VaultSessions } from './sessions.ts'
import { roleOf, type VaultSettings } from './settings.ts'
import type { Session, VaultApi } from './vault-api.ts'
import { holdAt } from './vault-hold.ts'

export interface VaultSourceOptions {
  readonly api: VaultApi
  readonly sessions: VaultSessions
  readonly clock: Clock
}

/** One Vault or OpenBao, read with the session of the pod's own service account. */
export function createVaultSource(options: VaultSourceOptions): Source {
  const { sessions, clock } = options
  const { settings } = options.api
  return {
    name: settings.name,
    audience: settings.auth.audience,

    async fetch(workload, ask, signal) {
      const { secret, version, role, args } = readAsk(ask)
      const ref = { secret, version, args }
      const owner = ownerOf(workload, settings, role)
      const api = options.api.forTenant(owner.namespace)
      // For the length of a call; the volumes' holds keep the sessions alive between calls.
      const withSession = async <T>(
        whose: SessionOwner,
        work: (session: Session) => Promise<T>,
      ): Promise<T> => {
        const handle = sessions.acquire(whose)
        try {
          handle.offer(tokenOf(workload, settings))
          return await handle.use(signal, work)
        } finally {
          void handle.release()
        }
      }
      const shared = { ...owner, holder: undefined }
      const isOwn =
        owner.holder !== undefined &&
        (await withSession(shared, (session) => api.mayLease(session, ref, signal)))
      const read = await withSession(isOwn ? owner : shared, (session) =>
        api.read(session, ref, signal),
      )
      return toValue(read, clock.now())
    },

    hold: (workload, asks, hold) => holdAt(options, workload, asks, hold),
  }
}

export function ownerOf(
  { pod, serviceAccountUid, holder }: Workload,
  settings: VaultSettings,
  role: string | undefined,
): SessionOwner {
  const { namespace, serviceAccount } = pod
  return { namespace, serviceAccount, serviceAccountUid, role: roleOf(settings, role), holder }
}

/** Throws: TokenMissing, naming the line to add. */
export function tokenOf({ tokens }: Workload, { name, auth }: VaultSettings): ServiceToken {
  const token = tokens.get(auth.audience)
  if (token !== undefined) return token
  throw new LatchkeyError(
    'TokenMissing',
    `no token for source "${name}": add \`- audience: "${auth.audience}"\` to spec.tokenRequests of the CSIDriver`,
  )
}

function toValue(read: VaultSecret, nowMs: number): Value {
  const { version, entries, json, isImmutable } = read
  return { version, entries, json, immutable: isImmutable, term: termOf(read, nowMs) }
}

function termOf({ lease, expiresAtMs }: VaultSecret, nowMs: number): Term | undefined {
  if (lease !== undefined) {
    const { id, renewable, durationMs } = lease
    return {
      lease: { id, isRenewable: renewable },
      lifeMs: durationMs,
      endsAtMs: nowMs + durationMs,
    }
  }
  if (expiresAtMs === undefined) return undefined
  return { lease: undefined, lifeMs: Math.max(0, expiresAtMs - nowMs), endsAtMs: expiresAtMs }
}

import type { SecretBytes } from '../../../core/secret-bytes.ts'
import { objectIn, requestIdOf, termOf, type Answer } from './answer.ts'
import type { Calls, VaultCall } from './caller.ts'
import { isTrue, numberOf } from './json-value.ts'
import { refusalOf, type Refused } from './refusal.ts'
import { jsonBody } from './request-body.ts'
import type { VaultSettings } from './settings.ts'
import type { Renewed, Session, TokenState, VaultApi } from './vault-api.ts'
import { isTrouble, VaultError } from './vault-error.ts'

type LeaseCalls = Pick<
  VaultApi,
  'renewLease' | 'revokeLease' | 'renewSelf' | 'lookupSelf' | 'revokeSelf'
>

const GONE_LEASE = /invalid lease|lease (is )?not found|lease expired|lease is not renewable/

/** The calls that keep and end leases and sessions. All may be made twice. Throw as VaultApi's do. */
export function createLeaseCalls(caller: Calls, settings: VaultSettings): LeaseCalls {
  const source = settings.name
  const call = <T>(
    session: Session,
    operation: VaultCall<T>['operation'],
    path: string,
    rest: Pick<VaultCall<T>, 'decode'> & Partial<VaultCall<T>>,
  ): VaultCall<T> => {
    const { token, role } = session
    const method = rest.body === undefined ? 'GET' : 'POST'
    const refuse = (refused: Refused): VaultError =>
      refusalOf(refused, { source, path, role, capability: method === 'GET' ? 'read' : 'update' })
    return { operation, method, path, token, role, isRepeatable: true, refuse, ...rest }
  }
  const leaseCall = <T>(
    session: Session,
    operation: VaultCall<T>['operation'],
    path: string,
    lease: SecretBytes,
    rest: Pick<VaultCall<T>, 'decode' | 'body'>,
  ): VaultCall<T> => {
    const plain = call(session, operation, path, { ...rest, secrets: [lease] })
    return {
      ...plain,
      refuse: (refused, answer) =>
        refused.status === 400 && GONE_LEASE.test(refused.words)
          ? goneLease(source, refused)
          : plain.refuse(refused, answer),
    }
  }

  return {
    renewLease: async (session, lease, incrementMs, signal) =>
      caller.run(
        leaseCall(session, 'renew-lease', 'sys/leases/renew', lease, {
          body: jsonBody({ lease_id: lease, increment: secondsOf(incrementMs) }),
          decode: (answer) => renewedOf(answer, answer.members),
        }),
        signal,
      ),

    async revokeLease(session, lease, signal) {
      const revoke = leaseCall(session, 'revoke-lease', 'sys/leases/revoke', lease, {
        // Without sync Vault answers before the engine has done its part, and tries on by itself if
        // the engine fails. A stuck database must not hold a volume's end.
        body: jsonBody({ lease_id: lease }),
        decode: () => undefined,
      })
      await unlessTrouble('gone-lease', caller.run(revoke, signal))
    },

    renewSelf: (session, incrementMs, signal) =>
      caller.run(
        call<Renewed>(session, 'renew-self', 'auth/token/renew-self', {
          body: jsonBody({ increment: secondsOf(incrementMs) }),
          decode: (answer) => renewedOf(answer, objectIn(answer, 'auth')),
        }),
        signal,
      ),

    lookupSelf: (session, signal) =>
      caller.run(
        call(session, 'lookup-self', 'auth/token/lookup-self', { decode: tokenStateOf }),
        signal,
      ),

    async revokeSelf(session, signal) {
      const revoke = call(session, 'revoke-self', 'auth/token/revoke-self', {
        body: jsonBody({}),
        decode: () => undefined,
      })
      await unlessTrouble('dead-token', caller.run(revoke, signal))
    },
  }
}

/** What was to end and is gone already has ended. */
async function unlessTrouble(
  trouble: 'gone-lease' | 'dead-token',
  revoked: Promise<unknown>,
): Promise<void> {
  try {
    await revoked
  } catch (thrown) {
    if (!isTrouble(thrown, trouble)) throw thrown
  }
}

function renewedOf(answer: Answer, members: Answer['members']): Renewed {
  return { ...termOf(answer.text, members), requestId: requestIdOf(answer) }
}

// The answer holds the token too; it is not looked at.
function tokenStateOf(answer: Answer): TokenState {
  const { text } = answer
  const data = objectIn(answer, 'data')
  const seconds = numberOf(text, data.get('ttl')) ?? 0
  const endsNever = data.get('expire_time')?.kind === 'null'
  const remainingMs = endsNever ? Infinity : Math.max(0, seconds * 1000)
  // Vault answers 0 for one that was made without an end.
  const lifeMs = (numberOf(text, data.get('creation_ttl')) ?? 0) * 1000
  return {
    remainingMs,
    lifeMs: lifeMs > 0 ? lifeMs : remainingMs,
    renewable: isTrue(text, data.get('renewable')),
  }
}

function secondsOf(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}

function goneLease(source: string, { status, words }: Refused): VaultError {
  return new VaultError('SecretNotFound', `Vault "${source}" has ended the lease: ${words}`, {
    status,
    trouble: 'gone-lease',
  })
}

import { LatchkeyError } from '../../../core/errors.ts'
import type { Calls, VaultCall } from './caller.ts'
import type { Login } from './login.ts'
import { isBareDenial, namesDeadToken, refusalOf, type Refused } from './refusal.ts'
import type { VaultSettings } from './settings.ts'
import type { VaultApi } from './vault-api.ts'
import { VaultError } from './vault-error.ts'

const LOOKUP = 'auth/token/lookup-self'
/** What is forgotten is asked at the next login. */
const MAX_ROLES = 1_024

type Role = string | undefined

/** Whether the sessions of a role may look themselves up; where not, a refusal of that tells nothing. */
interface LookupRight {
  readonly isGranted: boolean
  /** A session was taken for ended by it; the policy may have changed instead. */
  readonly isDoubted: boolean
}

/** What is known of one Vault, whoever calls it. */
export interface EndedMemory {
  readonly rights: Map<Role, LookupRight>
  /** It has told a token that is none any more from a missing right: nothing is to be inferred. */
  namesTheDead: boolean
}

export function emptyEndedMemory(): EndedMemory {
  return { rights: new Map(), namesTheDead: false }
}

/** Whether it may have ended or may not look itself up: the server says the same of both. */
export function isUntold(thrown: unknown): boolean {
  return thrown instanceof VaultError && thrown.status === 403 && thrown.trouble === undefined
}

/** Calls that tell an ended session from a missing right, and the login from which they learn to. */
export interface EndedTelling {
  readonly calls: Calls
  /** Asks a role's first session after itself, while it lives for certain. */
  readonly learning: (login: VaultApi['login']) => VaultApi['login']
}

/**
 * The same calls, where a session that has ended is told from a right that is missing whatever the server is.
 * Newer Vaults say which it is; OpenBao, as older Vaults did, says "permission denied" of both. After these words the
 * session is asked for by itself. Policy "default" allows that, but a role may go without it: so a refusal counts for
 * those roles alone whose living sessions were seen to be allowed. Taking an ended session for a missing right would
 * leave a pod without its secrets for as long as it lives; the other way round, each denied read would cost a login.
 *
 * Throws as Caller.run does; where nobody can tell, what kept them from it.
 */
export function tellingEnded(
  caller: Calls,
  settings: VaultSettings,
  memory: EndedMemory,
): EndedTelling {
  const { rights } = memory
  const learn = (role: Role, right: LookupRight): void => {
    if (rights.size >= MAX_ROLES && !rights.has(role)) rights.clear()
    rights.set(role, right)
  }

  const run: Calls['run'] = async (call, signal) => {
    const { path, token, role } = call
    const heard: { refused?: Refused } = {}
    const refuse: typeof call.refuse = (refused, answer) => {
      heard.refused = refused
      return call.refuse(refused, answer)
    }
    try {
      const answer = await caller.run({ ...call, refuse }, signal)
      if (path === LOOKUP) learn(role, { isGranted: true, isDoubted: false })
      return answer
    } catch (thrown) {
      const { refused } = heard
      if (refused === undefined || token === undefined) throw thrown
      if (namesDeadToken(refused)) memory.namesTheDead = true
      if (!isBareDenial(refused) || memory.namesTheDead) throw thrown
      const right = rights.get(role)
      if (right?.isGranted === false) throw thrown
      if (path !== LOOKUP && (await mayLookUp(call, signal))) {
        learn(role, { isGranted: true, isDoubted: false })
        throw thrown
      }
      // It may have been refused because it has ended, or because its role never may.
      if (right === undefined) throw thrown
      learn(role, { isGranted: true, isDoubted: true })
      const { reason, message } = LatchkeyError.from(thrown)
      const details = { trouble: 'dead-token', status: 403, isInferred: true } as const
      throw new VaultError(reason, message, details)
    }
  }

  /** Throws: what keeps it from being told. */
  const mayLookUp = async (
    { token, role }: Pick<VaultCall<unknown>, 'token' | 'role'>,
    signal: AbortSignal,
  ): Promise<boolean> => {
    if (token === undefined) return false
    const heard: { refused?: Refused } = {}
    const refuse = (refused: Refused): VaultError => {
      heard.refused = refused
      return refusalOf(refused, { source: settings.name, path: LOOKUP, role, capability: 'read' })
    }
    const lookup = { operation: 'lookup-self', method: 'GET', path: LOOKUP, token } as const
    try {
      await caller.run({ ...lookup, isRepeatable: true, refuse, decode: () => undefined }, signal)
      return true
    } catch (thrown) {
      if (heard.refused?.status === 403) return false
      throw thrown
    }
  }

  const learnFrom = async ({ token }: Login, role: Role, signal: AbortSignal): Promise<void> => {
    const known = rights.get(role)
    if (memory.namesTheDead || (known?.isGranted === true && !known.isDoubted)) return
    try {
      learn(role, { isGranted: await mayLookUp({ token, role }, signal), isDoubted: false })
    } catch {
      // The login stands, whatever becomes of this; without an answer, nothing is inferred.
    }
  }

  return {
    calls: { run },
    learning: (login) => async (jwt, role, signal) => {
      const session = await login(jwt, role, signal)
      await learnFrom(session, role, signal)
      return session
    },
  }
}

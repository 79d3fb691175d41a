import { LatchkeyError } from '../../../core/errors.ts'
import type { Calls, VaultCall } from './caller.ts'
import { isBareDenial, refusalOf, type Refused } from './refusal.ts'
import type { VaultSettings } from './settings.ts'
import { VaultError } from './vault-error.ts'

const LOOKUP = 'auth/token/lookup-self'

/**
 * The same calls, where a session that has ended is told from a right that is missing whatever the server is.
 * Vault says which it is; OpenBao, as older Vaults did, says "permission denied" of both. So after these words the
 * session is asked for by itself, which every policy "default" allows. Taking the one for the other would leave a
 * pod without its secrets for as long as it lives.
 *
 * Throws as Caller.run does; where nobody can tell, what kept them from it.
 */
export function tellingEnded(caller: Calls, settings: VaultSettings): Calls {
  return {
    async run(call, signal) {
      const heard: { refused?: Refused } = {}
      const refuse: typeof call.refuse = (refused, answer) => {
        heard.refused = refused
        return call.refuse(refused, answer)
      }
      try {
        return await caller.run({ ...call, refuse }, signal)
      } catch (thrown) {
        const { refused } = heard
        if (refused === undefined || !isBareDenial(refused)) throw thrown
        if (!(await hasEnded(caller, settings, call, signal))) throw thrown
        const { reason, message } = LatchkeyError.from(thrown)
        throw new VaultError(reason, message, { trouble: 'dead-token', status: 403 })
      }
    },
  }
}

async function hasEnded<T>(
  caller: Calls,
  settings: VaultSettings,
  { path, token }: VaultCall<T>,
  signal: AbortSignal,
): Promise<boolean> {
  if (token === undefined) return false
  if (path === LOOKUP) return true
  const heard: { refused?: Refused } = {}
  const refuse = (refused: Refused): VaultError => {
    heard.refused = refused
    const asked = { source: settings.name, path: LOOKUP, role: undefined } as const
    return refusalOf(refused, { ...asked, capability: 'read' })
  }
  const lookup = { operation: 'lookup-self', method: 'GET', path: LOOKUP, token } as const
  try {
    await caller.run({ ...lookup, isRepeatable: true, refuse, decode: () => undefined }, signal)
    return false
  } catch (thrown) {
    if (heard.refused?.status === 403) return true
    throw thrown
  }
}

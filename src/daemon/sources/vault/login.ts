import type { SecretBytes } from '../../../core/secret-bytes.ts'
import { objectIn, requestIdOf, termOf, type Answer, type Term } from './answer.ts'
import type { Calls } from './caller.ts'
import { secretOf, textsOf } from './json-value.ts'
import { loginRefusal } from './login-refusal.ts'
import { jsonBody } from './request-body.ts'
import { encodePath } from './secret-ref.ts'
import type { VaultSettings } from './settings.ts'
import { VaultError } from './vault-error.ts'

/** A new session of Vault's. `durationMs` 0: it does not end by itself. */
export interface Login extends Term {
  /** The receiver's, to be wiped. */
  readonly token: SecretBytes
  readonly policies: readonly string[]
  readonly requestId: string
}

const MAX_POLICIES = 64

/** Throws as VaultApi.login does. */
export function createLogin(caller: Calls, settings: VaultSettings) {
  return async (jwt: SecretBytes, role: string, signal: AbortSignal): Promise<Login> =>
    caller.run(
      {
        operation: 'login',
        method: 'POST',
        path: `auth/${encodePath(settings.auth.mount)}/login`,
        body: jsonBody({ jwt, role }),
        // A login that nobody hears of ends by itself, and nothing is leased under it.
        isRepeatable: true,
        secrets: [jwt],
        decode: (answer) => decodeLogin(answer, settings, role),
        refuse: (refused) => loginRefusal(refused, role, settings),
      },
      signal,
    )
}

function decodeLogin(answer: Answer, settings: VaultSettings, role: string): Login {
  const { text } = answer
  const auth = objectIn(answer, 'auth')
  const token = auth.get('client_token')
  if (token?.kind !== 'string' || token.end - token.start <= 2) {
    throw new VaultError(
      'AccessDenied',
      `Vault "${settings.name}" took the login with role "${role}" and gave no token: a role for pods must want no second factor`,
      { status: 200 },
    )
  }
  return {
    token: secretOf(text, token),
    policies: textsOf(text, auth.get('policies'), MAX_POLICIES),
    requestId: requestIdOf(answer),
    ...termOf(text, auth),
  }
}

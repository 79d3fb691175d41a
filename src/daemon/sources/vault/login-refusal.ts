import type { Reason } from '../../../core/errors.ts'
import { lacksNamespace, sharedRefusal, type Refused } from './refusal.ts'
import type { VaultSettings } from './settings.ts'
import { VaultError } from './vault-error.ts'

// How Vault words the refusals of its kubernetes and jwt methods (vault-plugin-auth-kubernetes,
// vault-plugin-auth-jwt). They choose a hint and a reason; whatever else comes is quoted as it is.
const AUDIENCE = /\baud(ience)?\b/
const NO_ROLE = /invalid role name|role "?.*"? could not be found|missing role/
const NO_METHOD = /no handler for route|unsupported path|missing client token/
const EXPIRED = /\bexpired\b/
const PLAIN_DENIAL = /^permission denied$/

/** The error for a login that was refused. */
export function loginRefusal(refused: Refused, role: string, settings: VaultSettings): VaultError {
  const { status, words } = refused
  const { name, auth, namespace } = settings
  const shared = sharedRefusal(refused, name)
  if (shared !== undefined) return shared
  const inside = namespace === undefined ? '' : ` in namespace "${namespace}"`
  const where = `Vault "${name}" refused the login at auth/${auth.mount}${inside}`
  const said = words === '' ? ` (${status})` : ` (${words})`
  const refuse = (reason: Reason, message: string): VaultError =>
    new VaultError(reason, message, { status })
  if (lacksNamespace(refused)) {
    return refuse('InvalidRequest', `${where}${said}: mend the source's namespace`)
  }
  if (NO_METHOD.test(words)) {
    return refuse(
      'InvalidRequest',
      `${where}${said}: no auth method is mounted there; mend the source's auth.mount`,
    )
  }
  if (NO_ROLE.test(words)) {
    return refuse(
      'InvalidRequest',
      `${where}${said}: it has no role "${role}"; create it or mend its name`,
    )
  }
  if (AUDIENCE.test(words)) {
    return refuse('TokenRejected', `${where} with role "${role}"${said}: ${audienceHint(settings)}`)
  }
  if (EXPIRED.test(words)) {
    return refuse(
      'TokenRejected',
      `${where} with role "${role}"${said}: kubelet brings a new token within minutes; if it stays so, compare the clocks`,
    )
  }
  // Also what Vault says of a path that it does not have to whoever has not logged in yet.
  if (status === 403 && PLAIN_DENIAL.test(words)) {
    return refuse('AccessDenied', `${where} with role "${role}"${said}: ${denialHint(auth)}`)
  }
  return refuse(
    'AccessDenied',
    `${where} with role "${role}"${said}: the role must be bound to the pod's namespace and service account`,
  )
}

function audienceHint({ auth }: VaultSettings): string {
  const list = auth.method === 'jwt' ? 'bound_audiences' : 'audience'
  return `the pod's token is for audience "${auth.audience}", which the role's ${list} and the CSIDriver's spec.tokenRequests: [{ audience: ${JSON.stringify(auth.audience)} }] must both name`
}

// Without a reviewer's token Vault reviews the pod's token with that token itself, and the API server
// accepts it for its own audience alone: every login fails, whatever the role says.
function denialHint({ method, mount }: VaultSettings['auth']): string {
  const unmounted = `is a method of type ${method} mounted at the source's auth.mount, "${mount}"?`
  return method === 'kubernetes'
    ? `${unmounted} If so, it could not have the pod's token reviewed: auth/${mount}/config needs a token_reviewer_jwt of a service account bound to system:auth-delegator; or use a method of type jwt, which needs none`
    : `${unmounted} If so, the role's token_bound_cidrs leave this node out`
}

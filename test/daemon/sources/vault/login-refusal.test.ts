import test from 'ava'
import { loginRefusal } from '../../../../src/daemon/sources/vault/login-refusal.ts'
import { settingsFor } from './double-world.ts'

const AT = settingsFor('https://vault.example')
const KUBERNETES = {
  ...AT,
  auth: { method: 'kubernetes', mount: 'cluster-1', audience: 'vault' },
} as const

// As vault-plugin-auth-kubernetes and vault-plugin-auth-jwt word them.
const ROWS = [
  [403, 'permission denied', 'AccessDenied', 'auth/cluster-1/config needs a token_reviewer_jwt'],
  [403, 'permission denied', 'AccessDenied', "type kubernetes mounted at the source's auth.mount"],
  [403, 'service account name not authorized', 'AccessDenied', 'namespace and service account'],
  [403, 'namespace not authorized', 'AccessDenied', 'namespace and service account'],
  [400, 'invalid role name "web"', 'InvalidRequest', 'no role "web"'],
  [
    403,
    'invalid audience (aud) claim: audience claim does not match any expected audience',
    'TokenRejected',
    'the role\'s audience and the CSIDriver\'s spec.tokenRequests: [{ audience: "vault" }]',
  ],
  [404, 'no handler for route "auth/cluster-1/login"', 'InvalidRequest', 'auth.mount'],
  [403, '', 'AccessDenied', '(403)'],
  [500, 'could not load backend configuration', 'SourceUnavailable', 'backend configuration'],
] as const

for (const [status, words, reason, says] of ROWS) {
  test(`a login refused with ${status} "${words}" is ${reason}: ${says}`, (t) => {
    const refused = { status, words, retryAfterMs: undefined }
    const error = loginRefusal(refused, 'web', KUBERNETES)
    t.is(error.reason, reason)
    t.true(error.message.includes(says), error.message)
    t.is(error.trouble, undefined)
  })
}

test('a plain denial by the jwt method says nothing of reviews', (t) => {
  const refused = { status: 403, words: 'permission denied', retryAfterMs: undefined }
  const { message } = loginRefusal(refused, 'web', AT)
  t.false(message.includes('reviewer'))
  t.true(message.includes('token_bound_cidrs'))
})

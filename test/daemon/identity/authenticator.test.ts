import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import { createAuthenticator } from '../../../src/daemon/identity/authenticator.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { SERVICE_ACCOUNT_UID } from './pod-tokens.ts'
import {
  AUDIENCE,
  EXPIRES_AT_SECONDS,
  KUBELET_ROOT,
  NODE,
  NOW_MS,
  POD_UID,
  attempt,
  ourToken,
  requestOf,
  statusOf,
  textOf,
  vaultToken,
} from './pod-world.ts'

test('the right request with the right review becomes a workload', async (t) => {
  const { workload, reviews } = attempt()
  const { pod, serviceAccountUid, expiresAtMs, tokens } = await workload
  t.deepEqual(pod, { namespace: 'shop', name: 'api-0', uid: POD_UID, serviceAccount: 'api' })
  t.is(serviceAccountUid, SERVICE_ACCOUNT_UID)
  t.is(expiresAtMs, EXPIRES_AT_SECONDS * 1000)
  t.deepEqual([...tokens.keys()].sort(), ['', 'latchkey', 'vault'])
  t.deepEqual(reviews, [{ token: textOf(ourToken().token), audiences: [AUDIENCE] }])
})

test('our token alone is enough', async (t) => {
  const { tokens } = await attempt(requestOf({ tokens: [ourToken()] })).workload
  t.deepEqual([...tokens.keys()], ['latchkey'])
})

test('an expiry is taken from the token, not from what the request states beside it', async (t) => {
  const stated = [ourToken(), vaultToken()].map((token) => ({ ...token, expiresAtMs: 1e15 }))
  const { tokens, expiresAtMs } = await attempt(requestOf({ tokens: stated })).workload
  t.is(expiresAtMs, EXPIRES_AT_SECONDS * 1000)
  t.is(tokens.get('vault')?.expiresAtMs, EXPIRES_AT_SECONDS * 1000)
})

test('whether our own token has expired is for the API server to say', async (t) => {
  const expired = ourToken({ expiresAtSeconds: NOW_MS / 1000 - 60 })
  const { workload } = attempt(requestOf({ tokens: [expired] }))
  t.is((await workload).expiresAtMs, NOW_MS - 60_000)
})

test('a review that echoes the token is quoted without it', async (t) => {
  // Not the usual beginning of a JWT, by which it would be known anyway.
  const token = textOf(ourToken().token).replace(/^[^.]+/, 'canary-header')
  const ours = { ...ourToken(), token: new SecretBytes(Buffer.from(token)) }
  const { workload } = attempt(
    requestOf({ tokens: [ours] }),
    statusOf({ authenticated: false, error: `bad ${token}\nx` }),
  )
  const error = await t.throwsAsync<LatchkeyError>(workload)
  t.is(error.message, "the API server rejects the pod's token: bad [token] x")
})

test('names that somebody chose are escaped and shortened in a refusal', async (t) => {
  const username = `a"\n\u001b[31m\u202e${'x'.repeat(500)}`
  const error = await t.throwsAsync(attempt(requestOf(), statusOf({ username })).workload)
  t.regex(
    error.message,
    /^the reviewed token names user "a\\"\\n\\u001b\[31m\\u202ex+\.\.\.", not "system:/,
  )
})

test('a review that does not come is given up', async (t) => {
  const clock = new FakeClock(NOW_MS)
  const asked: AbortSignal[] = []
  const authenticator = createAuthenticator({
    kube: {
      reviewToken(_token, _audiences, signal) {
        asked.push(signal)
        return new Promise(() => undefined)
      },
    },
    nodeName: NODE,
    audience: AUDIENCE,
    kubeletRoot: KUBELET_ROOT,
    clock,
    timeoutMs: 5_000,
  })
  const workload = authenticator.authenticate(requestOf(), new AbortController().signal)
  const refused = t.throwsAsync<LatchkeyError>(workload)
  await clock.advance(5_000)
  t.is((await refused).reason, 'Timeout')
  t.true(asked[0]?.aborted)
  t.is(clock.pending, 0)
})

test('a caller who leaves is answered with its own reason, and nobody is waited for', async (t) => {
  const clock = new FakeClock(NOW_MS)
  const caller = new AbortController()
  const authenticator = createAuthenticator({
    kube: { reviewToken: () => new Promise(() => undefined) },
    nodeName: NODE,
    audience: AUDIENCE,
    kubeletRoot: KUBELET_ROOT,
    clock,
    timeoutMs: 5_000,
  })
  const workload = authenticator.authenticate(requestOf(), caller.signal)
  const reason = new LatchkeyError('ShuttingDown', 'bye')
  caller.abort(reason)
  t.is(await t.throwsAsync(workload), reason)
  t.is(clock.pending, 0)
})

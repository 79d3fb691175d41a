import { inspect } from 'node:util'
import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import { decodeTokenClaims } from '../../../src/daemon/identity/token-claims.ts'
import { SERVICE_ACCOUNT_UID, jwsOf, jwsOfText, payloadOf } from './pod-tokens.ts'
import type { Json, JsonObject } from './pod-tokens.ts'

const CANARY = 'canary-7f3a'

const PAYLOAD = payloadOf({
  namespace: 'shop',
  podName: 'api-0',
  podUid: '11111111-2222-4333-8444-555555555555',
  serviceAccount: 'api',
  serviceAccountUid: SERVICE_ACCOUNT_UID,
  nodeName: 'node-1',
  audiences: ['latchkey'],
  expiresAtSeconds: 1_795_247_119,
})

const KUBERNETES = PAYLOAD['kubernetes.io'] as JsonObject

test('the claims of a pod-bound token are read', (t) => {
  t.deepEqual(decodeTokenClaims(jwsOf(PAYLOAD), 'latchkey'), {
    namespace: 'shop',
    pod: { name: 'api-0', uid: '11111111-2222-4333-8444-555555555555' },
    serviceAccount: { name: 'api', uid: SERVICE_ACCOUNT_UID },
    nodeName: 'node-1',
    audiences: ['latchkey'],
    expiresAtMs: 1_795_247_119_000,
  })
})

test('one audience may stand as a text, and a token before Kubernetes 1.30 names no node', (t) => {
  const kubernetes: JsonObject = { ...KUBERNETES, node: undefined }
  const claims = decodeTokenClaims(
    jwsOf({ ...PAYLOAD, aud: 'latchkey', 'kubernetes.io': kubernetes }),
    'latchkey',
  )
  t.deepEqual(claims.audiences, ['latchkey'])
  t.is(claims.nodeName, undefined)
})

const inKubernetes = (changes: Record<string, Json | undefined>): SecretBytes =>
  jwsOf({ ...PAYLOAD, 'kubernetes.io': { ...KUBERNETES, ...changes } })

const MALFORMED: readonly (readonly [string, SecretBytes, RegExp])[] = [
  ['no bytes', raw(''), /not a JSON web token/],
  ['no dots', raw(CANARY), /not a JSON web token/],
  ['two parts', raw(`${CANARY}.e30`), /not a JSON web token/],
  ['four parts', raw(`${CANARY}.e30.e30.e30`), /not a JSON web token/],
  ['an empty payload', raw(`${CANARY}..${CANARY}`), /not a JSON web token/],
  ['an empty signature', raw(`${CANARY}.e30.`), /not a JSON web token/],
  ['padding', raw(`${CANARY}.e30=.${CANARY}`), /not a JSON web token/],
  ['a newline at the end', raw(`${CANARY}.e30.${CANARY}\n`), /not a JSON web token/],
  [
    'a token of more than 16 KiB',
    jwsOf({ ...PAYLOAD, x: 'x'.repeat(16_384) }),
    /longer than 16384/,
  ],
  ['a payload that is no JSON', jwsOfText(`{"${CANARY}`), /not JSON/],
  ['a payload that is no UTF-8', jwsOfText(Buffer.from([0x22, 0xff, 0x22])), /not JSON/],
  ['a payload that is a text', jwsOf(CANARY), /not an object/],
  ['a payload that is a list', jwsOf([CANARY]), /not an object/],
  ['a payload that is null', jwsOf(null), /not an object/],
  [
    'no kubernetes.io',
    jwsOf({ ...PAYLOAD, 'kubernetes.io': undefined }),
    /no claim kubernetes\.io/,
  ],
  [
    'kubernetes.io as a text',
    jwsOf({ ...PAYLOAD, 'kubernetes.io': CANARY }),
    /no claim kubernetes/,
  ],
  ['kubernetes.io by prototype', jwsOfText('{"__proto__":{"kubernetes.io":{}}}'), /no claim kube/],
  ['no namespace', inKubernetes({ namespace: undefined }), /claim namespace/],
  ['an empty namespace', inKubernetes({ namespace: '' }), /claim namespace/],
  ['a number for a namespace', inKubernetes({ namespace: 7 }), /claim namespace/],
  [
    'a namespace of 2,000 letters',
    inKubernetes({ namespace: 'n'.repeat(2000) }),
    /claim namespace/,
  ],
  ['no pod', inKubernetes({ pod: undefined }), /no claim pod: it is not bound/],
  ['a pod without uid', inKubernetes({ pod: { name: CANARY } }), /claim uid/],
  ['a pod without name', inKubernetes({ pod: { uid: CANARY } }), /claim name/],
  ['no service account', inKubernetes({ serviceaccount: undefined }), /no claim serviceaccount/],
  ['a service account without uid', inKubernetes({ serviceaccount: { name: 'api' } }), /claim uid/],
  ['a node that is a text', inKubernetes({ node: CANARY }), /no claim node/],
  ['a node without name', inKubernetes({ node: {} }), /claim name/],
  ['no aud', jwsOf({ ...PAYLOAD, aud: undefined }), /no claim aud/],
  ['an aud that is a number', jwsOf({ ...PAYLOAD, aud: 1 }), /no claim aud/],
  ['an aud with a number in it', jwsOf({ ...PAYLOAD, aud: ['latchkey', 1] }), /aud/],
  ['an aud of 65 entries', jwsOf({ ...PAYLOAD, aud: Array<string>(65).fill('a') }), /no claim aud/],
  ['no exp', jwsOf({ ...PAYLOAD, exp: undefined }), /no claim exp/],
  ['an exp that is a text', jwsOf({ ...PAYLOAD, exp: '1795247119' }), /no claim exp/],
  ['an exp of zero', jwsOf({ ...PAYLOAD, exp: 0 }), /no claim exp/],
  ['an exp before all time', jwsOf({ ...PAYLOAD, exp: -1 }), /no claim exp/],
  ['an exp beyond all dates', jwsOf({ ...PAYLOAD, exp: 8_640_000_000_001 }), /no claim exp/],
  [
    'an exp that overflows',
    jwsOfText(`{"kubernetes.io":${JSON.stringify(KUBERNETES)},"aud":["a"],"exp":1e999}`),
    /no claim exp/,
  ],
]

function raw(text: string): SecretBytes {
  return new SecretBytes(Buffer.from(text))
}

for (const [what, token, why] of MALFORMED) {
  test(`a token with ${what} is refused`, (t) => {
    const error = t.throws(() => decodeTokenClaims(token, 'latchkey'), {
      instanceOf: LatchkeyError,
      message: why,
    })
    t.is(error.reason, 'TokenRejected')
    t.false(inspect(error, { depth: 20, showHidden: true }).includes(CANARY))
  })
}

test('the audience in an error is escaped and shortened', (t) => {
  const error = t.throws(() => decodeTokenClaims(raw('x'), `evil\n\u202e${'a'.repeat(500)}`))
  t.regex(error.message, /^the token for audience "evil\\n\\u202ea+\.\.\." is not/)
})

import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import { decodeTokenClaims } from '../../../src/daemon/identity/token-claims.ts'
import { parseServiceTokens } from '../../../src/host/csi/service-tokens.ts'
import { issue, NOW_SECONDS, PODS } from '../../daemon/identity/matrix-cluster.ts'
import type { Lane } from '../lane.ts'

const [pod] = PODS
if (pod === undefined) throw new Error('no pod')
const TOKEN = issue({
  pod,
  account: pod.account,
  audiences: ['latchkey'],
  fromSeconds: NOW_SECONDS,
  untilSeconds: NOW_SECONDS + 600,
  isSigned: true,
}).text
const [HEADER = '', PAYLOAD = '', SIGNATURE = ''] = TOKEN.split('.')
const FIELD = 'csi.storage.k8s.io/serviceAccount.tokens'

/** What a token says of itself. */
export const claimsLane: Lane = {
  name: 'claims',
  weight: 8,
  seeds: [Buffer.from(PAYLOAD, 'base64url')],
  words: ['"kubernetes.io":', '"pod":', '"exp":', '"aud":', '"name":', '"uid":', '"node":'],
  feed(input) {
    const text = `${HEADER}.${input.toString('base64url')}.${SIGNATURE}`
    const { namespace, pod, serviceAccount, audiences, expiresAtMs } = decodeTokenClaims(
      new SecretBytes(Buffer.from(text)),
      'latchkey',
    )
    const texts: unknown[] = [namespace, pod.name, pod.uid, serviceAccount.uid, ...audiences]
    if (!texts.every((one) => typeof one === 'string')) return { grant: 'a claim that is no text' }
    return expiresAtMs > 0 ? 'accepted' : { grant: 'no expiry' }
  },
}

/** The token itself. */
export const jwtLane: Lane = {
  name: 'jwt',
  weight: 4,
  seeds: [Buffer.from(TOKEN)],
  words: ['.', 'e30', 'bnVsbA', '=', '-', '_', '+', '/'],
  feed(input) {
    decodeTokenClaims(new SecretBytes(input), 'latchkey')
    return 'accepted'
  },
}

/** kubelet's JSON of them. */
export const serviceTokensLane: Lane = {
  name: 'service-tokens',
  weight: 6,
  seeds: [
    JSON.stringify({
      latchkey: { token: 'aGVhZA.Ym9keQ.c2ln', expirationTimestamp: '2026-01-01T00:10:00Z' },
      '': { token: 'aGVhZA.YXBp.c2ln', expirationTimestamp: '2026-01-01T01:00:00Z' },
    }),
  ].map((text) => Buffer.from(text)),
  words: ['"token":', '"expirationTimestamp":', '"latchkey":', '"":', '+999999-01-01T00:00:00Z'],
  feed(input) {
    const tokens = parseServiceTokens(input, [FIELD], FIELD)
    const isSound = tokens.every(({ token, expiresAtMs }) => token.length > 4 && expiresAtMs > 0)
    return isSound && tokens.length > 0 ? 'accepted' : { grant: 'a token that is none' }
  },
}

import { Readable } from 'node:stream'
import { systemClock } from '../../../src/core/clock.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { Value } from '../../../src/daemon/sources/source.ts'
import { judgeReview } from '../../../src/daemon/identity/token-verdict.ts'
import { createSecretReader } from '../../../src/daemon/kube/secret-read.ts'
import { createSecretWatcher } from '../../../src/daemon/kube/secret-watch.ts'
import { createTokenReviewer } from '../../../src/daemon/kube/token-review.ts'
import type { Transport } from '../../../src/daemon/kube/transport.ts'
import { assembleFiles } from '../../../src/daemon/sources/assemble.ts'
import { KUBERNETES_GRAMMAR } from '../../../src/daemon/sources/grammar.ts'
import { parseItems } from '../../../src/daemon/sources/parse-items.ts'
import { secretKeyOf } from '../../../src/daemon/sources/secret-key.ts'
import { encodeSecret, encodeStatus, encodeUnknown } from '../../../src/wire/kubernetes-messages.ts'
import type { Chance } from '../../soak/chance.ts'
import type { Lane } from '../lane.ts'
import { staysInside } from './attributes.ts'

const TOKEN = new SecretBytes(Buffer.from('aGVhZA.Ym9keQ.c2ln'))
export const EXPECTED = {
  audience: 'latchkey',
  nodeName: 'node-1',
  // In no seed and no word, so that no chance can make a right answer.
  pod: {
    namespace: 'shop',
    name: 'api-0',
    uid: 'e41b8f8e-0d53-4fd5-9a0c-6c4f4a3dbe11',
    serviceAccount: 'api',
  },
  token: TOKEN,
}
const endless = new AbortController().signal

/** The API server's answer is a status line's number, an "=" and the body, in pieces as they may come. */
function transportOf(input: Buffer, chance: Chance, contentType: string): Transport {
  const at = input.indexOf('=')
  const status = Number(input.subarray(0, Math.max(0, at)).toString('latin1')) || 200
  const body = Readable.from(piecesOf(input.subarray(at + 1), chance), { objectMode: false })
  const response = { status, contentType, date: '', body }
  return { send: () => Promise.resolve(response) } as unknown as Transport
}

function piecesOf(body: Buffer, chance: Chance): readonly Buffer[] {
  const pieces: Buffer[] = []
  for (let from = 0; from < body.length;) {
    const size = chance.isHit(0.5) ? body.length : chance.between(1, 64)
    pieces.push(Buffer.from(body.subarray(from, from + size)))
    from += size
  }
  return pieces
}

function statusOf(input: Buffer): number {
  return Number(input.subarray(0, Math.max(0, input.indexOf('='))).toString('latin1')) || 200
}

export const REVIEW = {
  kind: 'TokenReview',
  apiVersion: 'authentication.k8s.io/v1',
  status: {
    authenticated: true,
    user: {
      username: 'system:serviceaccount:shop:api',
      uid: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee',
      extra: {
        'authentication.kubernetes.io/node-name': ['node-1'],
        'authentication.kubernetes.io/pod-name': ['api-0'],
        'authentication.kubernetes.io/pod-uid': ['11111111-2222-4333-8444-555555555555'],
      },
    },
    audiences: ['latchkey'],
  },
}

/** No answer in this lane proves the pod: whatever is taken for a proof is a grant. */
export const reviewLane: Lane = {
  name: 'token-review',
  weight: 8,
  seeds: [
    REVIEW,
    { ...REVIEW, status: { authenticated: false, error: 'expired' } },
    { ...REVIEW, status: {} },
  ].map((review) => Buffer.from(`201=${JSON.stringify(review)}`)),
  words: [
    '"status":',
    '"user":',
    '"extra":',
    '"authenticated":true',
    '"error":""',
    'authentication.kubernetes.io/',
  ],
  async feed(input, chance) {
    const daemonToken = { read: () => Promise.resolve(undefined), forget: () => undefined }
    const review = createTokenReviewer(transportOf(input, chance, 'application/json'), daemonToken)
    judgeReview(await review(TOKEN, ['latchkey'], endless), EXPECTED)
    return { grant: 'a pod proven by a wrong answer' }
  },
}

const METADATA = { name: 'db', namespace: 'shop', uid: 'u', resourceVersion: '7' }
const ITEMS = parseItems(new Map([['secret', 'db']]), new Map([['kubernetes', KUBERNETES_GRAMMAR]]))

export function secretBody(data: Readonly<Record<string, Buffer>>, immutable = false): Buffer {
  const raw = encodeSecret({ metadata: METADATA, data, type: 'Opaque', immutable })
  return encodeUnknown({ typeMeta: { apiVersion: 'v1', kind: 'Secret' }, raw })
}

export function statusBody(code: number, reason: string): Buffer {
  const raw = encodeStatus({ status: 'Failure', message: `secrets "db" ${reason}`, reason, code })
  return encodeUnknown({ typeMeta: { apiVersion: 'v1', kind: 'Status' }, raw })
}

/** From the API server's bytes to the volume's files. */
export const secretLane: Lane = {
  name: 'secret-answer',
  weight: 8,
  seeds: [
    ...[
      { password: Buffer.from('p') },
      { a: Buffer.alloc(0), 'b.c': Buffer.alloc(300, 1) },
      {},
    ].map((data) => Buffer.concat([Buffer.from('200='), secretBody(data)])),
    Buffer.concat([Buffer.from('200='), secretBody({ a: Buffer.from('b') }, true)]),
    ...[401, 403, 404, 410, 429, 500].map((code) =>
      Buffer.concat([Buffer.from(`${code}=`), statusBody(code, 'NotFound')]),
    ),
    Buffer.from('302=<a href="http://169.254.169.254/">'),
  ],
  words: ['k8s\0', 'Secret', 'password', '../x', '..data', 'a/b', 'v1', '\x12\x00', '403=', '302='],
  async feed(input, chance) {
    const transport = transportOf(input, chance, 'application/vnd.kubernetes.protobuf')
    const read = createSecretReader(transport, systemClock, 5_000)
    const { data, immutable, resourceVersion } = await read(
      { namespace: 'shop', name: 'db' },
      TOKEN,
      endless,
    )
    if (statusOf(input) !== 200) return { grant: 'a refusal taken for a Secret' }
    const value: Value = { entries: data, json: undefined, version: resourceVersion, immutable }
    const values = new Map(ITEMS.map((item) => [secretKeyOf(item), value]))
    const files = assembleFiles(ITEMS, values, undefined)
    return files.every(({ path }) => staysInside(path)) ? 'accepted' : { grant: 'a file outside' }
  },
}

const TABLE = { kind: 'Table', metadata: { resourceVersion: '8' }, rows: [] }
export const LINES = [
  { type: 'ADDED', object: TABLE },
  { type: 'MODIFIED', object: TABLE },
  { type: 'BOOKMARK', object: TABLE },
  { type: 'DELETED', object: TABLE },
  { type: 'ERROR', object: { code: 410 } },
].map((line) => `${JSON.stringify(line)}\n`)

export const watchLane: Lane = {
  name: 'watch-lines',
  weight: 8,
  seeds: [LINES.join(''), ...LINES, `\n\n${LINES[1] ?? ''}`].map((text) =>
    Buffer.from(`200=${text}`),
  ),
  words: ['"type":', '"object":', '"metadata":', '"resourceVersion":""', '\n', '\r\n', '410='],
  async feed(input, chance) {
    const limits = { maxWatches: 1, startTimeoutMs: 5_000, lifetimeMs: 60_000, silenceMs: 5_000 }
    const transport = transportOf(input, chance, 'application/json')
    const watch = createSecretWatcher({ transport, clock: systemClock, random: () => 0.5, limits })
    for await (const event of watch({ namespace: 'shop', name: 'db' }, undefined, TOKEN, endless)) {
      if (statusOf(input) !== 200) return { grant: 'a refusal taken for a watch' }
      const { type, resourceVersion }: { type: unknown; resourceVersion: unknown } = event
      const isSound =
        (type === 'present' || type === 'deleted') && typeof resourceVersion === 'string'
      if (!isSound) return { grant: 'a notice of no version' }
    }
    return 'accepted'
  },
}

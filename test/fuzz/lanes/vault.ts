import { createServer, type Server, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { gzipSync } from 'node:zlib'
import { systemClock } from '../../../src/core/clock.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import { errorsOf, parseAnswer } from '../../../src/daemon/sources/vault/answer.ts'
import { JsonError } from '../../../src/daemon/sources/vault/json-walk.ts'
import { readSecret } from '../../../src/daemon/sources/vault/read-answer.ts'
import { createVaultApi, type VaultApi } from '../../../src/daemon/sources/vault/vault-api.ts'
import type { Lane, Verdict } from '../lane.ts'

const READING = {
  engine: 'kv2',
  path: 'kv2/data/shop/a',
  isVersioned: true,
  isPinned: false,
  nowMs: 1.8e12,
  digestKey: Buffer.alloc(32, 1),
} as const
const ANSWERS = [
  {
    request_id: 'r',
    data: { data: { password: 'p', n: 1, o: { a: [1, null] } }, metadata: { version: 3 } },
  },
  {
    data: {
      data: { a: 'b\u0000"\\ü💥' },
      metadata: { version: 1, created_time: '2026-01-01T00:00:00Z' },
    },
  },
  {
    lease_id: 'db/1',
    lease_duration: 3600,
    renewable: true,
    data: { data: {}, metadata: { version: 1 } },
  },
  { errors: ['1 error occurred:\n\t* permission denied\n\n'] },
  { data: null, warnings: ['x'] },
  {
    data: {
      data: {
        ca_chain: ['-----BEGIN CERTIFICATE-----\nMA==', '-----BEGIN CERTIFICATE-----\nMQ=='],
        list: ['-----BEGIN CERTIFICATE-----', 'and another'],
      },
      metadata: { version: 1 },
    },
  },
].map((answer) => JSON.stringify(answer))
const WORDS = [
  ...['"data":', '"metadata":', '"version":1', '"errors":["x"]', '"lease_id":"l"', '"auth":', ','],
  ...[
    '\\u0000',
    '\\ud83d\\udca5',
    '\\ud800',
    '{"data":',
    '}',
    ']',
    '"',
    '1e5',
    '-',
    '\\n',
    '\ufeff',
  ],
  ...['"-----BEGIN CERTIFICATE-----', '["-----BEGIN CERTIFICATE-----"],'],
]

/** Vault's JSON, held against Node's own parser. */
export const vaultJsonLane: Lane = {
  name: 'vault-json',
  weight: 10,
  seeds: ANSWERS.map((text) => Buffer.from(text)),
  words: WORDS,
  feed(input) {
    try {
      const answer = parseAnswer(input)
      errorsOf(answer)
      const { entries } = readSecret(answer, READING)
      return sameAs(input, entries)
    } catch (thrown) {
      // The caller says it in the words of the source.
      if (thrown instanceof JsonError) return 'refused'
      throw thrown
    }
  },
}

function sameAs(input: Buffer, entries: ReadonlyMap<string, SecretBytes>): Verdict {
  const wanted = fieldsOf(input)
  if (wanted === undefined) return { grant: 'values from what is no JSON' }
  const isSame =
    entries.size === wanted.size &&
    [...wanted].every(([name, value]) => {
      const text = entries.get(name)?.use((bytes) => bytes.toString())
      if (text === undefined) return false
      if (typeof value === 'string') return text === value.toWellFormed()
      // A chain is one file of PEM; one of which an opening is spelled with escapes comes as JSON, like any list.
      return text === chainOf(value) || isDeepStrictEqual(parsed(text), value)
    })
  return isSame ? 'accepted' : { grant: 'other values than stand there' }
}

/** What a list of certificates is to be in a file; undefined for anything else. */
function chainOf(value: unknown): string | undefined {
  const isCertificate = (item: unknown): item is string =>
    typeof item === 'string' && item.startsWith('-----BEGIN CERTIFICATE-----')
  if (!Array.isArray(value) || value.length === 0 || !value.every(isCertificate)) return undefined
  return value.map((item) => item.toWellFormed()).join('\n')
}

/** Half of a surrogate pair stands for nothing that has bytes: U+FFFD takes its place, as in Vault's own parser. */
function fieldsOf(input: Buffer): ReadonlyMap<string, unknown> | undefined {
  const outer = parsed(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(input))
  const data = (outer as { data?: { data?: object } } | undefined)?.data?.data
  if (data === undefined) return undefined
  return new Map(Object.entries(data).map(([name, value]) => [name.toWellFormed(), value]))
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function response(status: string, headers: readonly string[], body: string | Buffer): Buffer {
  const head = [`HTTP/1.1 ${status}`, ...headers, `Content-Length: ${body.length}`]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), Buffer.from(body as string)])
}

const CHUNKED =
  'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n' +
  `${(ANSWERS[0] ?? '').length.toString(16)}\r\n${ANSWERS[0] ?? ''}\r\n0\r\n\r\n`
const ELSEWHERE = '/elsewhere'
const RESPONSES = [
  ...ANSWERS.map((body) => response('200 OK', ['Content-Type: application/json'], body)),
  ...[301, 302, 307, 308].map((status) =>
    response(`${status} Moved`, [`Location: ${ELSEWHERE}`], ''),
  ),
  ...[400, 403, 404, 429, 472, 500, 503].map((status) =>
    response(`${status} No`, ['Retry-After: 1'], ANSWERS[3] ?? ''),
  ),
  response('200 OK', ['Content-Encoding: gzip'], gzipSync(Buffer.alloc(5_000_000))),
  Buffer.from(CHUNKED),
]
const HTTP_WORDS = [
  ...[
    'HTTP/1.1 ',
    '200',
    '302',
    '100 Continue',
    '101 Switching Protocols',
    '\r\n',
    '\r\n\r\n',
    '\n',
  ],
  ...['Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n', `Location: ${ELSEWHERE}\r\n`],
  ...[
    'Connection: close\r\n',
    'Content-Encoding: gzip\r\n',
    'Retry-After: 1e99\r\n',
    'ffffffff\r\n',
  ],
]
/** One in so many is left without an end, and has to be given up in time. */
const SILENT = 0.01
const TIMEOUT_MS = 250

/** A server that answers whatever it is told to, byte for byte. */
export async function openVaultHttpLane(): Promise<Lane> {
  let answer = Buffer.alloc(0)
  let isSilent = false
  let asked: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
    socket.on('data', (request: Buffer) => {
      asked.push(request.toString('latin1').split(' ', 2)[1] ?? '')
      if (isSilent) socket.write(answer)
      else socket.end(answer)
    })
  })
  const port = await listen(server)
  return {
    name: 'vault-http',
    weight: 1.5,
    seeds: RESPONSES,
    words: HTTP_WORDS,
    async feed(input, chance): Promise<Verdict> {
      answer = Buffer.from(input)
      isSilent = chance.isHit(SILENT)
      asked = []
      const session = { token: new SecretBytes(Buffer.from('hvs.x')), role: undefined }
      // Its own each time, for one that has met a failure rests.
      const api = openApi(port)
      try {
        await api.read(session, { secret: 'kv2/shop/a' }, new AbortController().signal)
        return 'accepted'
      } finally {
        api.close()
        for (const socket of sockets) socket.destroy()
        const strange = asked.find((path) => !EXPECTED.test(path))
        if (strange !== undefined) throw new Error(`it asked for ${strange}`)
      }
    },
    close() {
      server.close()
      return Promise.resolve()
    },
  }
}

/** After a denial in so many words the session is asked for, too. */
const EXPECTED = /^\/v1\/(kv2\/|sys\/internal\/ui\/mounts\/|auth\/token\/lookup-self$)/

function openApi(port: number): VaultApi {
  return createVaultApi({
    name: 'vault-prod',
    address: `http://127.0.0.1:${port}`,
    auth: { method: 'jwt', mount: 'jwt', audience: 'vault' },
    limits: { concurrent: 8, perSecond: 1_000_000, timeoutMs: TIMEOUT_MS, maxBytes: 64 * 1024 },
    clock: systemClock,
  })
}

export function listen(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      resolve((server.address() as AddressInfo).port)
    })
  })
}

import { gzipSync } from 'node:zlib'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import { judgeReview } from '../../../src/daemon/identity/token-verdict.ts'
import type { KubeClient } from '../../../src/daemon/kube/kube-client.ts'
import type { Chance } from '../../soak/chance.ts'
import type { Lane, Verdict } from '../lane.ts'
import { EXPECTED, LINES, REVIEW, secretBody, statusBody } from './kube.ts'
import { startScriptedApi, type ScriptedApi, type Script } from './scripted-api.ts'
import { frame } from './sockets.ts'

/*
 * The API server's answers as they come over TLS, so that what reads HTTP is met by them, too: the client that is
 * used in earnest, and a server that says nothing but what it is told to.
 */
const TOKEN = new SecretBytes(Buffer.from('aGVhZA.Ym9keQ.c2ln'))
const DB = { namespace: 'shop', name: 'db' }
const endless = new AbortController().signal
const PROTOBUF = 'application/vnd.kubernetes.protobuf'
const JSON_TYPE = 'application/json'
/** One in so many is left without an end, and one comes in small pieces. */
const SILENT = 0.01
const SLOW = 0.2
const BOMB_BYTES = 5_000_000

type Call = (client: KubeClient) => Promise<Verdict>

/** No answer here proves the pod: its uid is in no seed. */
const review: Call = async (client) => {
  judgeReview(await client.reviewToken(TOKEN, ['latchkey'], endless), EXPECTED)
  return { grant: 'a pod proven by a wrong answer' }
}

const read: Call = async (client) => {
  const { data } = await client.readSecret(DB, TOKEN, endless)
  for (const bytes of data.values()) bytes.wipe()
  return 'accepted'
}

const watch: Call = async (client) => {
  let events = 0
  for await (const event of client.watchSecret(DB, undefined, TOKEN, endless)) {
    const { type, resourceVersion }: { type: unknown; resourceVersion: unknown } = event
    const isSound =
      (type === 'present' || type === 'deleted') && typeof resourceVersion === 'string'
    if (!isSound) return { grant: 'a notice of no version' }
    events += 1
  }
  // A watch that says nothing, or cannot be begun there, ends without a word.
  return events > 0 ? 'accepted' : 'refused'
}

/** Mostly who asks for such a thing. */
function callFor(input: Buffer, chance: Chance): Call {
  if (chance.isHit(0.1)) return chance.pick([review, read, watch])
  if (input.includes(PROTOBUF)) return read
  return input.includes('TokenReview') ? review : watch
}

async function feed(
  api: ScriptedApi,
  script: Omit<Script, 'pieceBytes' | 'isSilent'>,
  call: Call,
  chance: Chance,
): Promise<Verdict> {
  const pieceBytes = chance.isHit(SLOW) ? chance.between(1, 64) : script.answer.length
  // Else a huge answer would come in as many turns as it has bytes.
  const least = Math.ceil(script.answer.length / 200)
  const isSilent = chance.isHit(SILENT)
  const asked = api.play({ ...script, pieceBytes: Math.max(pieceBytes, least, 1), isSilent })
  try {
    const verdict = await call(api.client)
    const isBacked = script.answer.includes('200') || script.protocol === 'h2'
    const isTaken = verdict === 'accepted' && !isBacked
    return isTaken ? { grant: 'an answer that is no 200 taken for one' } : verdict
  } finally {
    await api.cut()
    const strange = asked.find((path) => path.startsWith('/elsewhere'))
    if (strange !== undefined) throw new Error(`it followed to ${strange}`)
  }
}

function response(status: string, headers: readonly string[], body: string | Buffer): Buffer {
  const length = Buffer.byteLength(body)
  const head = [`HTTP/1.1 ${status}`, ...headers, `Content-Length: ${length}`]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`), Buffer.from(body as string)])
}

function typed(status: string, type: string, body: string | Buffer): Buffer {
  return response(status, [`Content-Type: ${type}`], body)
}

function chunked(type: string, pieces: readonly string[]): Buffer {
  const head = `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`
  const body = pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('')
  return Buffer.from(`${head}${body}0\r\n\r\n`)
}

const PASSWORD = { password: Buffer.from('p') }
const HTTP1_SEEDS = [
  typed('201 Created', JSON_TYPE, JSON.stringify(REVIEW)),
  typed('200 OK', PROTOBUF, secretBody(PASSWORD)),
  typed('200 OK', JSON_TYPE, LINES.join('')),
  chunked(JSON_TYPE, LINES),
  ...[401, 403, 404, 410, 429, 500, 503].map((code) =>
    typed(`${code} No`, PROTOBUF, statusBody(code, 'NotFound')),
  ),
  ...[301, 302, 307, 308].map((code) => response(`${code} Moved`, ['Location: /elsewhere'], '')),
  response(
    '200 OK',
    [`Content-Type: ${PROTOBUF}`, 'Content-Encoding: gzip'],
    gzipSync(Buffer.alloc(BOMB_BYTES)),
  ),
  response(
    '200 OK',
    [`Content-Type: ${PROTOBUF}`, 'Content-Encoding: gzip'],
    gzipSync(secretBody(PASSWORD)),
  ),
  typed('200 OK', 'text/html', '<html>a proxy’s own page</html>'),
  Buffer.concat([
    Buffer.from('HTTP/1.1 103 Early\r\n\r\n'),
    typed('200 OK', PROTOBUF, secretBody(PASSWORD)),
  ]),
  Buffer.concat([
    typed('200 OK', PROTOBUF, secretBody(PASSWORD)),
    typed('200 OK', PROTOBUF, secretBody({ password: Buffer.from('of the next answer') })),
  ]),
]
const HTTP1_WORDS = [
  ...['HTTP/1.1 ', '200', '302', '100 Continue', '101 Switching Protocols', '204 No', '\r\n'],
  ...['\r\n\r\n', '\n', 'Content-Length: 5\r\n', 'Transfer-Encoding: chunked\r\n', '0\r\n\r\n'],
  ...['Location: https://169.254.169.254/elsewhere\r\n', 'Location: //elsewhere\r\n'],
  ...['Connection: close\r\n', 'Content-Encoding: gzip\r\n', 'Content-Type: text/html\r\n'],
  ...['Retry-After: 1e99\r\n', 'ffffffff\r\n', 'Upgrade: h2c\r\n', 'k8s\0', '"status":'],
]

const [SETTINGS, HEADERS, DATA, RESET, PUSH, PING, GOAWAY, WINDOW, CONTINUATION] = [
  4, 1, 0, 3, 5, 6, 7, 8, 9,
] as const
const END_STREAM = 1
const END_HEADERS = 4
const BARE = Buffer.alloc(0)

/** A field that HPACK has written out, RFC 7541 section 6.2.2. */
function field(name: string, value: string): Buffer {
  const text = (word: string): Buffer => Buffer.from(`${String.fromCharCode(word.length)}${word}`)
  return Buffer.concat([Buffer.alloc(1), text(name), text(value)])
}

function headers(status: string, type: string, flags: number = END_HEADERS): Buffer {
  return frame(
    HEADERS,
    flags,
    1,
    Buffer.concat([field(':status', status), field('content-type', type)]),
  )
}

function data(text: string, flags = 0, stream = 1): Buffer {
  return frame(DATA, flags, stream, Buffer.from(text))
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const HELLO = Buffer.concat([frame(SETTINGS, 0, 0, BARE), frame(SETTINGS, 1, 0, BARE)])
const say = (...frames: readonly Buffer[]): Buffer => Buffer.concat([HELLO, ...frames])
const OK = headers('200', JSON_TYPE)
const farewell = (last: number, code: number): Buffer =>
  frame(GOAWAY, 0, 0, Buffer.concat([number(last), number(code), Buffer.from('max_age')]))
const HTTP2_SEEDS = [
  say(OK, ...LINES.map((line) => data(line)), data('', END_STREAM)),
  say(OK, data(LINES.join(''), END_STREAM)),
  say(headers('200', JSON_TYPE, END_HEADERS | END_STREAM)),
  ...[302, 401, 403, 410, 429, 500].map((code) =>
    say(headers(String(code), PROTOBUF), data('{}', END_STREAM)),
  ),
  say(farewell(0, 0)),
  say(OK, data(LINES[0] ?? ''), farewell(1, 0), data(LINES[1] ?? '', END_STREAM)),
  say(OK, farewell(0, 11)),
  say(OK, data(LINES[0] ?? ''), frame(RESET, 0, 1, number(8))),
  say(frame(RESET, 0, 1, number(7))),
  say(headers('103', JSON_TYPE), OK, data(LINES[0] ?? '', END_STREAM)),
  say(OK, data(LINES[0] ?? ''), headers('200', JSON_TYPE, END_HEADERS | END_STREAM)),
  say(
    frame(HEADERS, 0, 1, BARE),
    ...Array.from({ length: 50 }, () => frame(CONTINUATION, 0, 1, OK)),
  ),
  say(frame(PUSH, END_HEADERS, 1, Buffer.concat([number(2), field(':path', '/elsewhere')])), OK),
  say(OK, data(LINES[0] ?? '', 0, 3), data(LINES[0] ?? '', 0, 0)),
  say(frame(WINDOW, 0, 0, number(0x7fff_ffff)), frame(WINDOW, 0, 1, number(0)), OK),
  say(...Array.from({ length: 200 }, () => frame(PING, 0, 0, Buffer.alloc(8))), OK),
  say(...Array.from({ length: 200 }, () => frame(SETTINGS, 0, 0, BARE)), OK),
  say(frame(SETTINGS, 0, 0, Buffer.from('000300000000000400000000', 'hex')), OK),
  say(frame(SETTINGS, 0, 0, Buffer.from('0005ffffffff', 'hex')), OK),
  Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
]
const HTTP2_WORDS = [
  ...['\0\0\0\x04\0\0\0\0\0', '\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08', '\0\0\0\0\x01\0\0\0\x01'],
  ...['\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0', '\0\x40\0\0\0\0\0\0\x01', '"type":', '\n'],
]

/** To be closed, both. */
export async function openKubeWireLanes(): Promise<readonly Lane[]> {
  const api = await startScriptedApi()
  let open = 2
  const close = async (): Promise<void> => {
    open -= 1
    if (open === 0) await api.close()
  }
  return [
    {
      name: 'kube-http1',
      weight: 0.6,
      seeds: HTTP1_SEEDS,
      words: HTTP1_WORDS,
      feed: (answer, chance) =>
        feed(api, { protocol: 'http/1.1', answer }, callFor(answer, chance), chance),
      close,
    },
    {
      name: 'kube-http2',
      weight: 0.6,
      seeds: HTTP2_SEEDS,
      words: HTTP2_WORDS,
      feed: (answer, chance) => feed(api, { protocol: 'h2', answer }, watch, chance),
      close,
    },
  ]
}

import { deflateSync, gzipSync } from 'node:zlib'
import type { Lane, Verdict } from '../lane.ts'
import { RawCaller, grpcFrame, pour, type CallAnswer } from './calls.ts'
import { publishMessages, shimMessages } from './messages.ts'
import type { FuzzedNode } from './node.ts'

const TOKEN = tokenOf()
const OK = '0'
const PATIENCE_MS = 5_000
/** A stream that is still open after this is one that waits for its shim's next word. */
const QUIET_MS = 40

function tokenOf(): string {
  const uid = '11111111-2222-4333-8444-555555555555'
  const claims = {
    aud: ['latchkey'],
    exp: 2_000_000_000,
    'kubernetes.io': {
      namespace: 'shop',
      node: { name: 'node-1' },
      pod: { name: 'api-0', uid },
      serviceaccount: { name: 'api', uid: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee' },
    },
  }
  const parts = ['{"alg":"RS256"}', JSON.stringify(claims), 'signature']
  return parts.map((part) => Buffer.from(part).toString('base64url')).join('.')
}

/** No caller of this node may have anything, so that nothing but refusals may come. */
function judgeAnswer(node: FuzzedNode, { status, message }: CallAnswer, mayBeOk: boolean): Verdict {
  if (node.reads() > 0) return { grant: 'a Secret was read' }
  if (message.startsWith('Internal: ')) throw new Error(message)
  if (status === OK && !mayBeOk) return { grant: 'an OK' }
  return status === OK ? 'accepted' : 'refused'
}

/** kubelet's calls, with anything for a message. */
export function csiCallsLane(node: FuzzedNode): Lane {
  const caller = new RawCaller(node.csiSocket)
  const methods = ['NodePublishVolume', 'NodeUnpublishVolume', 'NodeGetVolumeStats', 'NodeGetInfo']
  return {
    name: 'csi-calls',
    weight: 1.5,
    seeds: publishMessages(node.kubeletRoot, TOKEN),
    words: ['csi.storage.k8s.io/', 'secret', node.kubeletRoot, '/mount', TOKEN],
    async feed(input, chance) {
      const method = chance.isHit(0.8) ? 'NodePublishVolume' : chance.pick(methods)
      const frames = [grpcFrame(input)]
      const answer = await caller.call(`/csi.v1.Node/${method}`, frames, PATIENCE_MS)
      return judgeAnswer(node, answer, method !== 'NodePublishVolume')
    },
    check: () => isServing(caller, '/csi.v1.Node/NodeGetInfo'),
    close() {
      caller.close()
      return Promise.resolve()
    },
  }
}

/** A shim's streams, with anything for messages. */
export function mountCallsLane(node: FuzzedNode): Lane {
  const caller = new RawCaller(node.mountSocket)
  const service = '/latchkey.mount.v1.MountService'
  return {
    name: 'mount-calls',
    weight: 1.5,
    seeds: shimMessages(node.kubeletRoot, TOKEN),
    words: ['secret', 'items', node.kubeletRoot, '/mount', TOKEN, 'latchkey'],
    async feed(input, chance) {
      const method = chance.weigh({ Mount: 85, Report: 5, List: 5, Refresh: 5 })
      const cut = chance.between(0, input.length)
      const frames = chance.isHit(0.7)
        ? [grpcFrame(input)]
        : [grpcFrame(input.subarray(0, cut)), grpcFrame(input.subarray(cut))]
      const patienceMs = method === 'Mount' ? PATIENCE_MS : QUIET_MS
      const answer = await caller.call(`${service}/${method}`, frames, patienceMs)
      if (method === 'Mount' && answer.bytes > 0) return { grant: 'the daemon said something' }
      return judgeAnswer(node, answer, true)
    },
    check: () => isServing(caller, `${service}/List`),
    close() {
      caller.close()
      return Promise.resolve()
    },
  }
}

/** gRPC's own framing on either socket: lengths that lie, flags that are none, compressed messages. */
export function framesLane(node: FuzzedNode): Lane {
  const csi = new RawCaller(node.csiSocket)
  const mount = new RawCaller(node.mountSocket)
  const [publish = Buffer.alloc(0)] = publishMessages(node.kubeletRoot, TOKEN)
  const [open = Buffer.alloc(0)] = shimMessages(node.kubeletRoot, TOKEN)
  const bomb = gzipSync(Buffer.alloc(8 * 1024 * 1024))
  return {
    name: 'grpc-frames',
    weight: 1,
    seeds: [
      grpcFrame(publish),
      grpcFrame(open),
      grpcFrame(open, 1),
      grpcFrame(gzipSync(open), 1),
      grpcFrame(deflateSync(publish), 1),
      grpcFrame(bomb, 1),
      grpcFrame(open, 0, 0xffff_ffff),
      Buffer.concat([grpcFrame(open), grpcFrame(open)]),
    ],
    words: ['\0\0\0\0\0', '\x01\0\0\0\0', '\0\xff\xff\xff\xff', '\0\0\0\0\x01a'],
    async feed(input, chance) {
      const isCsi = chance.isHit(0.5)
      const path = isCsi
        ? '/csi.v1.Node/NodePublishVolume'
        : '/latchkey.mount.v1.MountService/Mount'
      const answer = await (isCsi ? csi : mount).call(path, [input], PATIENCE_MS)
      if (answer.bytes > 0 && !isCsi) return { grant: 'the daemon said something' }
      return judgeAnswer(node, answer, !isCsi)
    },
    close() {
      csi.close()
      mount.close()
      return Promise.resolve()
    },
  }
}

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
const SETTINGS = frame(4, 0, 0, Buffer.alloc(0))

/** Bare bytes on either socket: HTTP/2 as it may be bent. */
export function bytesLane(node: FuzzedNode): Lane {
  const hello = Buffer.concat([Buffer.from(PREFACE), SETTINGS])
  const whole = (...frames: readonly Buffer[]): Buffer => Buffer.concat([hello, ...frames])
  const headers = frame(1, 4, 1, Buffer.from('828684418c', 'hex'))
  return {
    name: 'http2-bytes',
    weight: 1,
    seeds: [
      whole(),
      whole(headers),
      whole(headers, frame(0, 1, 1, grpcFrame(Buffer.alloc(4)))),
      whole(
        frame(1, 0, 1, Buffer.from('82', 'hex')),
        ...Array.from({ length: 50 }, () => frame(9, 0, 1, Buffer.alloc(8))),
      ),
      whole(
        ...Array.from({ length: 100 }, (_, i) =>
          frame(1, 4, 2 * i + 1, Buffer.from('828684', 'hex')),
        ),
      ),
      whole(
        ...Array.from({ length: 100 }, (_, i) => [
          headers,
          frame(3, 0, 2 * i + 1, Buffer.alloc(4)),
        ]).flat(),
      ),
      whole(...Array.from({ length: 200 }, () => frame(6, 0, 0, Buffer.alloc(8)))),
      whole(...Array.from({ length: 200 }, () => SETTINGS)),
      whole(
        frame(8, 0, 0, Buffer.from('7fffffff', 'hex')),
        frame(8, 0, 0, Buffer.from('7fffffff', 'hex')),
      ),
      whole(
        frame(7, 0, 0, Buffer.alloc(8)),
        frame(5, 4, 1, Buffer.alloc(8)),
        frame(2, 0, 1, Buffer.alloc(5)),
      ),
      Buffer.from('GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\n'),
      Buffer.from('\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', 'latin1'),
    ],
    words: [
      PREFACE,
      '\0\0\x04\x03\0\0\0\0\x01',
      '\0\0\0\x04\x01\0\0\0\0',
      '\0\0\x08\x06\0\0\0\0\0',
    ],
    async feed(input, chance) {
      await pour(chance.isHit(0.5) ? node.csiSocket : node.mountSocket, input, QUIET_MS)
      return node.reads() > 0 ? { grant: 'a Secret was read' } : 'refused'
    },
  }
}

/** Of HTTP/2, RFC 9113 section 4.1. */
export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

/** The daemon's one port. */
export function probesLane(node: FuzzedNode): Lane {
  const ask = (path: string): Buffer => Buffer.from(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
  return {
    name: 'http-port',
    weight: 0.5,
    seeds: [
      ...['/metrics', '/healthz', '/readyz?verbose', '/healthz/host'].map(ask),
      Buffer.from(
        'POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n',
      ),
    ],
    words: [
      'GET ',
      '/../',
      '%00',
      'Host: ',
      'Content-Length: 9\r\n',
      'Transfer-Encoding: chunked\r\n',
      'Expect: 100-continue\r\n',
      'Upgrade: x\r\n',
      '?verbose',
    ],
    async feed(input) {
      const heard = await pour(node.httpPort, input, QUIET_MS)
      const status = /^HTTP\/1\.1 (\d+)/.exec(heard.toString('latin1'))?.[1]
      if (status === '500') throw new Error(heard.toString('latin1').slice(0, 200))
      return status === '200' ? 'accepted' : 'refused'
    },
    async check() {
      const heard = await pour(
        node.httpPort,
        Buffer.from('GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'),
        10_000,
      )
      if (!heard.includes('HTTP/1.1 200')) throw new Error('no healthz')
    },
  }
}

async function isServing(caller: RawCaller, method: string): Promise<void> {
  const { status } = await caller.call(method, [grpcFrame(Buffer.alloc(0))], 10_000)
  if (status !== OK) throw new Error(`status ${status ?? 'none'}`)
}

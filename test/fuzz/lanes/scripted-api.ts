import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer, type TLSSocket } from 'node:tls'
import { systemClock } from '../../../src/core/clock.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import { createKubeClient } from '../../../src/daemon/kube/create-client.ts'
import type { KubeClient } from '../../../src/daemon/kube/kube-client.ts'
import { makeAuthority, makeLeaf } from '../../daemon/kube/authorities.ts'
import { listen } from './vault.ts'

/** How the next connections are answered, byte for byte. */
export interface Script {
  readonly protocol: 'http/1.1' | 'h2'
  readonly answer: Buffer
  /** In pieces of so many bytes, one in each turn of the event loop. */
  readonly pieceBytes: number
  /** Left without an end, so that it has to be given up in time. */
  readonly isSilent: boolean
}

/** An API server in nothing but its TLS, and the daemon's own client of it. */
export interface ScriptedApi {
  readonly origin: string
  readonly client: KubeClient
  /** All that was asked over HTTP/1.1 since, by path. */
  play(script: Script): readonly string[]
  /** Cuts every connection, and has the client hear of it. */
  cut(): Promise<void>
  close(): Promise<void>
}

/** Short, as a silent answer costs it in full; long enough for a handshake on a busy machine. */
const CALL_TIMEOUT_MS = 500
const LIMITS = {
  callTimeoutMs: CALL_TIMEOUT_MS,
  connectTimeoutMs: 5_000,
  watchLifetimeMs: 60_000,
  watchSilenceMs: CALL_TIMEOUT_MS,
}
const TURNS = 4
const SILENCE: Script = {
  protocol: 'http/1.1',
  answer: Buffer.alloc(0),
  pieceBytes: 1,
  isSilent: true,
}

export async function startScriptedApi(): Promise<ScriptedApi> {
  const folder = mkdtempSync(join(tmpdir(), 'lk-fuzz-api-'))
  const authority = makeAuthority(folder, 'ca')
  const leaf = { subject: '/CN=api', san: 'IP:127.0.0.1' }
  const { cert, key } = makeLeaf(folder, 'server', authority, leaf)
  let script = SILENCE
  let asked: string[] = []
  const sockets = new Set<TLSSocket>()
  const choose = ({ protocols }: { readonly protocols: readonly string[] }): string =>
    script.protocol === 'h2' && protocols.includes('h2') ? 'h2' : 'http/1.1'
  const server = createServer({ cert, key, ALPNCallback: choose }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
    const ofHttp2 = socket.alpnProtocol === 'h2'
    let heard = 0
    socket.on('data', (bytes: Buffer) => {
      heard += 1
      if (!ofHttp2) asked.push(bytes.toString('latin1').split(' ', 2)[1] ?? '')
      if (heard === 1 || !ofHttp2) void say(socket, script)
    })
  }).on('tlsClientError', () => undefined)
  const origin = `https://127.0.0.1:${await listen(server)}`
  const client = createKubeClient({
    connection: {
      ...{ origin, pathPrefix: '', serverName: undefined, certificate: undefined },
      authority: { given: authority.cert },
      bearer: { given: new SecretBytes(Buffer.from('the-daemons-own')) },
    },
    clock: systemClock,
    random: () => 0.5,
    limits: LIMITS,
  })
  const cut = async (): Promise<void> => {
    for (const socket of sockets) socket.destroy()
    // Whoever asks again before that is told of the connection that is no more.
    for (let turn = 0; turn < TURNS; turn += 1) await new Promise(setImmediate)
  }
  return {
    origin,
    client,
    play(next) {
      script = next
      asked = []
      return asked
    },
    cut,
    async close() {
      await client.close()
      await cut()
      server.close()
      rmSync(folder, { recursive: true })
    },
  }
}

async function say(socket: TLSSocket, { answer, pieceBytes, isSilent }: Script): Promise<void> {
  for (let from = 0; from < answer.length && !socket.destroyed; from += pieceBytes) {
    socket.write(answer.subarray(from, from + pieceBytes))
    if (from + pieceBytes < answer.length) await new Promise(setImmediate)
  }
  if (!isSilent) socket.end()
}

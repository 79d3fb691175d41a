import type { IncomingMessage, ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { createServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { ExecutionContext } from 'ava'
import type { KeyPair } from './authorities.ts'

/** One request as it arrived. */
export interface Call {
  readonly method: string
  readonly url: URL
  readonly headers: Readonly<Record<string, string | undefined>>
  readonly body: string
  /** CN of the client certificate of its connection, if there was one. */
  readonly client: string | undefined
  readonly httpVersion: string
}

export interface Answer {
  /** Ends the answer unless it is kept open. */
  send(status: number, contentType: string, body: string | Buffer): void
  /** Sends headers and lets the test write on. */
  start(status: number, contentType: string): void
  write(chunk: string | Buffer): void
  end(): void
  /** As send, and closes the connection afterwards. */
  sendAndClose(status: number, contentType: string, body: string | Buffer): void
  /** Cuts the connection. */
  cut(): void
  /** Whether the other side has gone. */
  readonly gone: () => boolean
}

export interface ApiServer {
  readonly port: number
  readonly calls: readonly Call[]
  /** Connections ever made, the TLS handshake done. */
  connections(): number
}

export interface ApiServerOptions {
  readonly identity: KeyPair
  readonly clientAuthority?: KeyPair
  /** As a real API server does; without it HTTP/1.1 is all there is. */
  readonly http2?: boolean
  readonly answer: (call: Call, answer: Answer) => void
}

/** An HTTPS server on this machine that answers as the test says, gone with the test. */
export async function startApiServer(
  t: ExecutionContext,
  { identity, clientAuthority, http2 = false, answer }: ApiServerOptions,
): Promise<ApiServer> {
  const calls: Call[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  const tls = {
    cert: identity.cert,
    key: identity.key,
    ...(clientAuthority === undefined
      ? {}
      : { ca: clientAuthority.cert, requestCert: true, rejectUnauthorized: false }),
  }
  const onRequest = (request: Request, response: Response): void => {
    void readCall(request).then((call) => {
      calls.push(call)
      // The two kinds of response are alike in all that is used here.
      answer(call, answerOn(request, response as ServerResponse))
    })
  }
  const server = http2
    ? createSecureServer({ ...tls, allowHTTP1: true }, onRequest)
    : createServer(tls, onRequest)
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined)
  })
  server.on('secureConnection', () => (connections += 1))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: (server.address() as AddressInfo).port, calls, connections: () => connections }
}

type Request = IncomingMessage | Http2ServerRequest
type Response = ServerResponse | Http2ServerResponse

async function readCall(request: Request): Promise<Call> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  const socket = request.socket as TLSSocket
  const peer = socket.getPeerCertificate()
  return {
    method: request.method ?? '',
    url: new URL(request.url ?? '', 'https://api.test'),
    headers: request.headers as Readonly<Record<string, string | undefined>>,
    body: Buffer.concat(chunks).toString(),
    client: (peer as { subject?: { CN: string } }).subject?.CN,
    httpVersion: request.httpVersion,
  }
}

function answerOn(request: Request, response: ServerResponse): Answer {
  let gone = false
  response.on('error', () => undefined).on('close', () => (gone = true))
  const start = (status: number, contentType: string): void => {
    response.writeHead(status, { 'content-type': contentType })
  }
  return {
    start,
    send(status, contentType, body) {
      start(status, contentType)
      response.end(body)
    },
    sendAndClose(status, contentType, body) {
      response.setHeader('connection', 'close')
      this.send(status, contentType, body)
    },
    write(chunk) {
      response.write(chunk)
    },
    end() {
      response.end()
    },
    cut() {
      request.socket.destroy()
    },
    gone: () => gone,
  }
}

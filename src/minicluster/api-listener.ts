import type { IncomingMessage, ServerResponse } from 'node:http'
import { createSecureServer } from 'node:http2'
import type { Http2SecureServer } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { LatchkeyError } from '../core/errors.ts'
import type { Identity } from './pki.ts'

type OnRequest = (request: IncomingMessage, response: ServerResponse) => void

const HOST = '127.0.0.1'
// Go's HTTP/2 server as the API server sets it up.
const MAX_STREAMS_PER_CONNECTION = 100

/**
 * HTTPS on this machine, HTTP/2 or 1.1 as the client chooses, that can go away and come back at the same
 * port.
 */
export class ApiListener {
  readonly #identity: Identity
  readonly #onRequest: OnRequest
  readonly #sockets = new Set<Socket>()
  #server: Http2SecureServer | undefined
  #port = 0
  #connections = 0

  constructor(identity: Identity, onRequest: OnRequest) {
    this.#identity = identity
    this.#onRequest = onRequest
  }

  get origin(): string {
    return `https://${HOST}:${this.#port}`
  }

  get isUp(): boolean {
    return this.#server !== undefined
  }

  get openConnections(): number {
    return this.#sockets.size
  }

  /** Ever made, their TLS handshake done. */
  get connections(): number {
    return this.#connections
  }

  /** Throws: Internal where the port was taken meanwhile. */
  async up(): Promise<void> {
    if (this.#server !== undefined) return
    const server = this.#createServer()
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error: Error) => {
        reject(new LatchkeyError('Internal', `cannot listen on ${this.origin}: ${error.message}`))
      })
      server.listen(this.#port, HOST, resolve)
    })
    this.#port = (server.address() as AddressInfo).port
    this.#server = server
  }

  /** Cuts every connection and refuses new ones. */
  async down(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    await new Promise<void>((resolve) => {
      server.close(() => {
        resolve()
      })
      for (const socket of this.#sockets) socket.destroy()
    })
  }

  #createServer(): Http2SecureServer {
    const server = createSecureServer(
      {
        cert: this.#identity.certPem,
        key: this.#identity.keyPem,
        allowHTTP1: true,
        settings: { maxConcurrentStreams: MAX_STREAMS_PER_CONNECTION },
      },
      // Node makes HTTP/2's pair look like HTTP/1's, in all that is used here.
      (request, response) => {
        this.#onRequest(
          request as unknown as IncomingMessage,
          response as unknown as ServerResponse,
        )
      },
    )
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      // A client that goes away in the middle is its own business.
      socket.on('error', () => undefined)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    server.on('secureConnection', () => {
      this.#connections += 1
    })
    server.on('sessionError', () => undefined)
    return server
  }
}

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { LatchkeyError } from '../core/errors.ts'
import type { Verdict } from './health.ts'

export interface HttpOptions {
  readonly address: string
  /** 0 takes any free one. */
  readonly port: number
  readonly live: () => Verdict
  readonly host: () => Verdict
  readonly ready: () => Verdict
  readonly metricsText: () => Promise<string>
}

export interface HttpServer {
  readonly port: number
  close(): Promise<void>
}

const MAX_CONNECTIONS = 64
const TIMEOUT_MS = 10_000

/** The daemon's one port: /metrics, /healthz, /healthz/host and /readyz, each with ?verbose. */
export async function listenForProbes(options: HttpOptions): Promise<HttpServer> {
  const server = createServer({ requestTimeout: TIMEOUT_MS, headersTimeout: TIMEOUT_MS })
  server.maxConnections = MAX_CONNECTIONS
  server.timeout = TIMEOUT_MS
  server.on('request', (request, response) => {
    answer(request, response, options).catch(() => response.destroy())
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', (error) => {
    const where = `${options.address}:${options.port}`
    reject(new LatchkeyError('InvalidRequest', `http: cannot listen on ${where}: ${error.message}`))
  })
  server.listen(options.port, options.address, resolve)
  await promise
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((closed) => {
        server.close(() => {
          closed()
        })
        server.closeAllConnections()
      }),
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: HttpOptions,
): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://daemon')
  const isVerbose = searchParams.has('verbose')
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    send(response, 405, 'only GET is served here\n')
    return
  }
  switch (pathname) {
    case '/metrics':
      response.setHeader('content-type', 'text/plain; version=0.0.4; charset=utf-8')
      send(response, 200, await options.metricsText())
      return
    case '/healthz':
      sendVerdict(response, options.live(), isVerbose)
      return
    case '/healthz/host':
      sendVerdict(response, options.host(), isVerbose)
      return
    case '/readyz':
      sendVerdict(response, options.ready(), isVerbose)
      return
    default:
      send(response, 404, 'not found\n')
  }
}

/** A failing verdict always says which check it is: a probe's event shows the body. */
function sendVerdict(response: ServerResponse, { isGood, lines }: Verdict, isVerbose: boolean): void {
  const body = isVerbose || !isGood ? `${lines.join('\n')}\n` : 'ok\n'
  send(response, isGood ? 200 : 503, body)
}

function send(response: ServerResponse, status: number, body: string): void {
  if (!response.hasHeader('content-type')) response.setHeader('content-type', 'text/plain')
  response.writeHead(status)
  response.end(body)
}

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
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
  /** Of both sides, in Prometheus' text format. */
  readonly metricsText: () => Promise<string>
  /** For a request to arrive and to be answered; 10 s unless said. */
  readonly timeoutMs?: number
  /** Told of what went wrong on our side; whoever asked sees a 500. */
  readonly onError?: (error: LatchkeyError) => void
}

export interface HttpServer {
  readonly port: number
  /** Ends every connection, answered or not. */
  close(): Promise<void>
}

/** A Prometheus or two, kubelet's probes, and somebody with curl. */
const MAX_CONNECTIONS = 256
const MAX_CONNECTIONS_PER_PEER = 16
const MAX_HEADER_BYTES = 8 * 1024
const TIMEOUT_MS = 10_000
const TEXT = 'text/plain; charset=utf-8'
const METRICS = 'text/plain; version=0.0.4; charset=utf-8'

/**
 * The daemon's one port: /metrics, /healthz, /healthz/host and /readyz, each probe with ?verbose. It says
 * how the daemon does and nothing of what it holds, for anybody in the cluster may ask.
 *
 * Throws: InvalidRequest where it cannot listen.
 */
export async function listenForProbes(options: HttpOptions): Promise<HttpServer> {
  const server = makeServer(options)
  await listen(server, options)
  const onError = options.onError ?? (() => undefined)
  // Without a listener, one failed accept (too many open files) would end the process.
  server.on('error', (error) => {
    onError(LatchkeyError.from(error))
  })
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

function makeServer(options: HttpOptions): Server {
  const { timeoutMs = TIMEOUT_MS } = options
  const server = createServer(
    {
      requestTimeout: timeoutMs,
      headersTimeout: timeoutMs,
      keepAliveTimeout: timeoutMs,
      connectionsCheckingInterval: timeoutMs / 2,
      maxHeaderSize: MAX_HEADER_BYTES,
    },
    (request, response) => {
      answer(request, response, options).catch((thrown: unknown) => {
        options.onError?.(LatchkeyError.from(thrown))
        if (response.headersSent) response.destroy()
        else send(response, 500, 'something went wrong; the log has the details\n')
      })
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  server.timeout = timeoutMs
  limitPerPeer(server)
  return server
}

/** Any pod may connect here; one that keeps connections for itself must not keep kubelet's probes out. */
function limitPerPeer(server: Server): void {
  const open = new Map<string, number>()
  server.on('connection', (socket) => {
    const peer = socket.remoteAddress ?? ''
    const count = (open.get(peer) ?? 0) + 1
    if (count > MAX_CONNECTIONS_PER_PEER) {
      socket.destroy()
      return
    }
    open.set(peer, count)
    socket.once('close', () => {
      const left = (open.get(peer) ?? 1) - 1
      if (left === 0) open.delete(peer)
      else open.set(peer, left)
    })
  })
}

function listen(server: Server, { address, port }: HttpOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = ({ code = 'unknown error' }: NodeJS.ErrnoException): void => {
      const message = `http.address, http.port: cannot listen on ${address} port ${port} (${code})`
      reject(new LatchkeyError('InvalidRequest', message))
    }
    server.once('error', onError)
    server.listen(port, address, () => {
      server.off('error', onError)
      resolve()
    })
  })
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: HttpOptions,
): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD')
    send(response, 405, 'only GET and HEAD are answered here\n')
    return
  }
  const url = URL.parse(request.url ?? '', 'http://daemon')
  switch (url?.pathname) {
    case '/metrics':
      send(response, 200, await options.metricsText(), METRICS)
      return
    case '/healthz':
      sendVerdict(response, 'healthz', options.live(), url)
      return
    case '/healthz/host':
      sendVerdict(response, 'healthz/host', options.host(), url)
      return
    case '/readyz':
      sendVerdict(response, 'readyz', options.ready(), url)
      return
    default:
      send(response, 404, 'here are /metrics, /healthz, /healthz/host and /readyz\n')
  }
}

/** A failing verdict always says which check it is: a probe's event shows the body. */
function sendVerdict(
  response: ServerResponse,
  probe: string,
  { isGood, lines }: Verdict,
  { searchParams }: URL,
): void {
  const verdict = `${probe} check ${isGood ? 'passed' : 'failed'}`
  const isBrief = isGood && !searchParams.has('verbose')
  const body = isBrief ? 'ok\n' : [...lines, verdict, ''].join('\n')
  send(response, isGood ? 200 : 503, body)
}

function send(response: ServerResponse, status: number, body: string, type = TEXT): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  response.end(body)
}

import type { Readable } from 'node:stream'
import { Agent } from 'undici'
import type { Dispatcher } from 'undici'
import type { ClusterConnection } from './cluster-connection.ts'
import { connectionError, isStaleConnection } from './connection-error.ts'
import { createConnector } from './connector.ts'
import { hearStreamErrors } from './stream-errors.ts'

export interface TransportLimits {
  /** Connections for the daemon's own calls, and again as many for those with a pod's token. */
  readonly maxConnections: number
  /** Connections for watches; one carries a hundred where the API server speaks HTTP/2. */
  readonly maxWatchConnections: number
  readonly connectTimeoutMs: number
  /** For the headers of an answer, and for each pause inside its body. */
  readonly answerTimeoutMs: number
}

/**
 * Who calls decides over which connections. The API server believes a connection's client certificate
 * before it looks at a bearer token, so a call with a pod's token must never travel on a connection
 * that shows the daemon's. Watches are apart, because they would keep short calls waiting.
 */
export type Lane = 'daemon' | 'pod' | 'watch'

export interface ApiRequest {
  readonly method: 'GET' | 'POST'
  /** From /api or /apis on, encoded, with its query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

export interface ApiResponse {
  readonly status: number
  readonly contentType: string
  /** The header of that name; '' where there is none. */
  readonly date: string
  /** To be read to its end or destroyed. */
  readonly body: Readable
}

const USER_AGENT = 'latchkey'
// Less than the 90 s after which an API server closes an idle connection.
const IDLE_MS = 45_000

/** The connections to the API server. No redirect is followed and no proxy used. */
export class Transport {
  readonly #connection: ClusterConnection
  readonly #lanes: Readonly<Record<Lane, Agent>>
  readonly #stopHearing = hearStreamErrors()

  constructor(connection: ClusterConnection, limits: TransportLimits) {
    this.#connection = connection
    const { maxConnections, maxWatchConnections, answerTimeoutMs } = limits
    const agent = (asDaemon: boolean, options: Agent.Options): Agent => {
      const allowHttp2 = options.allowH2 ?? false
      const timeoutMs = limits.connectTimeoutMs
      const connect = createConnector({ connection, asDaemon, allowHttp2, timeoutMs })
      return new Agent({ ...options, connect, allowH2: allowHttp2, keepAliveTimeout: IDLE_MS })
    }
    const short = {
      connections: maxConnections,
      headersTimeout: answerTimeoutMs,
      bodyTimeout: answerTimeoutMs,
    }
    this.#lanes = {
      daemon: agent(true, short),
      pod: agent(false, short),
      watch: agent(false, {
        connections: maxWatchConnections,
        allowH2: true,
        // Half of the patience of a watch: over HTTP/2 it is this timeout that has the library
        // ask whether the connection is still alive, and else all watches would go on dying with it.
        headersTimeout: Math.floor(answerTimeoutMs / 2),
        // A watch is silent most of the time; whoever reads it keeps its own clock.
        bodyTimeout: 0,
      }),
    }
  }

  /**
   * Answers once the headers are there, whatever the status. The signal bounds the body as well.
   * Throws: KubeUnavailable · Timeout · ShuttingDown · the signal's reason.
   */
  async send(lane: Lane, request: ApiRequest, signal: AbortSignal): Promise<ApiResponse> {
    try {
      return await this.#sendOnce(lane, request, signal)
    } catch (thrown) {
      signal.throwIfAborted()
      if (!isStaleConnection(thrown)) throw connectionError(thrown)
    }
    // Asking twice is safe: all but an event changes nothing over there, and an event has its name already.
    try {
      return await this.#sendOnce(lane, request, signal)
    } catch (thrown) {
      signal.throwIfAborted()
      throw connectionError(thrown)
    }
  }

  async #sendOnce(lane: Lane, request: ApiRequest, signal: AbortSignal): Promise<ApiResponse> {
    const options: Dispatcher.RequestOptions = {
      origin: this.#connection.origin,
      path: this.#connection.pathPrefix + request.path,
      method: request.method,
      headers: { 'user-agent': USER_AGENT, ...request.headers },
      body: request.body ?? null,
      signal,
    }
    const { statusCode, headers, body } = await this.#lanes[lane].request(options)
    const { 'content-type': contentType, date } = headers
    return {
      status: statusCode,
      contentType: typeof contentType === 'string' ? contentType : '',
      date: typeof date === 'string' ? date : '',
      body,
    }
  }

  /** Ends every call and watch under way. */
  async close(): Promise<void> {
    await Promise.all(Object.values(this.#lanes).map((agent) => agent.destroy()))
    this.#stopHearing()
  }
}

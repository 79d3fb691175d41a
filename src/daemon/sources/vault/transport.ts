import * as http from 'node:http'
import * as https from 'node:https'
import type { Clock } from '../../../core/clock.ts'
import { collectAnswer } from './answer-body.ts'
import { brokenOff, brokenOnKept, connectionRefusal, isStale } from './connection-refusal.ts'
import { parseAddress, type VaultSettings } from './settings.ts'

export interface VaultRequest {
  readonly method: 'GET' | 'POST'
  /** From /v1 on, encoded, with its query. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  /** The caller's, to be zeroed when the answer is there. */
  readonly body?: Buffer | undefined
  /** Asking twice changes nothing more over there: no second database user, no second certificate. */
  readonly isRepeatable: boolean
}

export interface VaultResponse {
  readonly status: number
  readonly retryAfter: string | undefined
  /** The caller's, to be zeroed. */
  readonly body: Buffer
}

// Less than the 60 s after which common load balancers forget a silent connection.
const IDLE_MS = 30_000
const CONNECT_TIMEOUT_MS = 5_000
const USER_AGENT = 'latchkey'

/** The connections to one Vault. No redirect is followed, no proxy used, and no compression asked for. */
export class VaultTransport {
  readonly #settings: VaultSettings
  readonly #clock: Clock
  readonly #url: URL
  readonly #kept: http.Agent
  readonly #once: http.Agent

  /** Throws: InvalidRequest, naming the setting to mend. */
  constructor(settings: VaultSettings, clock: Clock) {
    this.#settings = settings
    this.#clock = clock
    this.#url = parseAddress(settings)
    const { serverName, limits } = settings
    const { Agent } = this.#url.protocol === 'https:' ? https : http
    const tls: https.AgentOptions = {
      ...(serverName === undefined ? {} : { servername: serverName }),
      // Said aloud, because NODE_TLS_REJECT_UNAUTHORIZED would decide it otherwise.
      rejectUnauthorized: true,
    }
    const kept = { keepAlive: true, keepAliveMsecs: IDLE_MS, timeout: IDLE_MS }
    this.#kept = new Agent({ ...tls, ...kept, maxSockets: limits.concurrent })
    // A kept connection may close in the moment in which it is used, and nobody could tell whether the
    // call arrived. What must not be asked twice has a connection of its own.
    this.#once = new Agent({ ...tls, keepAlive: false })
  }

  /**
   * Answers with the whole body, whatever the status.
   * Throws: SourceUnavailable · PayloadTooLarge · the signal's reason.
   */
  async send(request: VaultRequest, signal: AbortSignal): Promise<VaultResponse> {
    try {
      return await this.#sendOnce(request, signal)
    } catch (thrown) {
      signal.throwIfAborted()
      if (!request.isRepeatable || !isStale(thrown)) {
        throw connectionRefusal(thrown, this.#settings)
      }
    }
    try {
      return await this.#sendOnce(request, signal)
    } catch (thrown) {
      signal.throwIfAborted()
      throw connectionRefusal(thrown, this.#settings)
    }
  }

  /** Ends every call under way. */
  close(): void {
    this.#kept.destroy()
    this.#once.destroy()
  }

  async #sendOnce(request: VaultRequest, signal: AbortSignal): Promise<VaultResponse> {
    signal.throwIfAborted()
    const call = this.#open(request)
    const stopConnectTimer = this.#boundConnecting(call)
    const abort = (): void => {
      call.destroy(signal.reason as Error)
    }
    signal.addEventListener('abort', abort, { once: true })
    try {
      const response = await headersOf(call)
      const body = await collectAnswer(response, this.#settings)
      return {
        status: response.statusCode ?? 0,
        retryAfter: response.headers['retry-after'],
        body,
      }
    } catch (thrown) {
      call.destroy()
      throw thrown
    } finally {
      stopConnectTimer()
      signal.removeEventListener('abort', abort)
    }
  }

  #open({ method, path, headers, body, isRepeatable }: VaultRequest): http.ClientRequest {
    const { protocol, hostname, port, pathname } = this.#url
    const ca = this.#settings.readCa?.()
    const call = (protocol === 'https:' ? https : http).request({
      protocol,
      // A URL puts IPv6 addresses in brackets, a socket wants them bare.
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port,
      method,
      path: pathname.replace(/\/$/, '') + path,
      agent: isRepeatable ? this.#kept : this.#once,
      // By it the agent tells connections apart: none that believed another authority is used again.
      ...(ca === undefined ? {} : { ca }),
      headers: {
        'user-agent': USER_AGENT,
        accept: 'application/json',
        ...headers,
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': body.length }),
      },
    })
    call.end(body)
    return call
  }

  /** A server that swallows packets would hold every call for its whole time. */
  #boundConnecting(call: http.ClientRequest): () => void {
    let stop = (): void => undefined
    call.once('socket', (socket) => {
      if (!socket.connecting) return
      stop = this.#clock.after(CONNECT_TIMEOUT_MS, () => {
        call.destroy(brokenOff('ETIMEDOUT'))
      })
      socket.once(this.#url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        stop()
      })
    })
    return () => {
      stop()
    }
  }
}

function headersOf(call: http.ClientRequest): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    call.once('response', resolve)
    call.on('error', (error) => {
      reject(call.reusedSocket ? brokenOnKept(error) : error)
    })
  })
}

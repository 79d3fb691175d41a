import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import * as http from 'node:http'
import * as https from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../../../../src/core/clock.ts'
import type { Identity } from '../../../../src/minicluster/pki.ts'
import {
  DEAD,
  DENIED,
  dress,
  LOST_NAMESPACE,
  NO_CONTENT,
  NO_NAMESPACE,
  refused,
  UNNAMED,
  type Reply,
} from './double-answers.ts'
import type { Engine } from './double-engines.ts'
import { DoubleSessions, type Capability, type Role, type Token } from './double-sessions.ts'
import type { JwtClaims } from './pod-jwt.ts'

/** One request, as an audit log would show it. */
export interface Audited {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly requestId: string
  readonly callId: string | undefined
  readonly namespace: string | undefined
  readonly isFlagged: boolean
  /** Of the session, where the request had a living one. */
  readonly role: string | undefined
  readonly pod: string | undefined
}

/** Stands in for Vault on one request; answering undefined lets Vault go on. */
export type Fault = (
  request: http.IncomingMessage,
  response: http.ServerResponse,
) => boolean | undefined

export interface DoubleOptions {
  readonly clock: Clock
  /** Undefined for a token that nobody of ours signed. */
  readonly checkJwt: (jwt: string) => JwtClaims | undefined
  readonly authMount?: string
  readonly tls?: Identity
  /** Where set, as of Enterprise and OpenBao: all that there is lives in this namespace, and there is no other. */
  readonly namespace?: string | undefined
  /** Default vault. Where the two differ, what OpenBao's own sources (vault/request_handling.go) say counts. */
  readonly server?: 'vault' | 'openbao'
}

/** A small server that answers as a Vault does to what Latchkey asks of one; see contract.ts. */
export class VaultDouble {
  readonly sessions: DoubleSessions
  readonly roles = new Map<string, Role>()
  /** By mount path, each ending in "/". */
  readonly engines = new Map<string, Engine>()
  readonly audit: Audited[] = []
  isSealed = false
  /** Where neither this is set nor `server`, whatever namespace a call names is overlooked. */
  namespace: string | undefined
  /** Where set: refuses every call with 429, asking for this pause. */
  retryAfterS: number | undefined
  fault: Fault | undefined
  /** Whether what it did for a path is answered by a connection that breaks. */
  losesAnswer: (path: string) => boolean = () => false
  readonly #options: DoubleOptions
  readonly #server: http.Server

  private constructor(options: DoubleOptions) {
    this.#options = options
    this.namespace = options.namespace
    this.sessions = new DoubleSessions(options.clock, options)
    const onRequest = (request: http.IncomingMessage, response: http.ServerResponse): void => {
      void this.#serve(request, response)
    }
    this.#server =
      options.tls === undefined
        ? http.createServer(onRequest)
        : https.createServer({ key: options.tls.keyPem, cert: options.tls.certPem }, onRequest)
  }

  static async start(options: DoubleOptions): Promise<VaultDouble> {
    const double = new VaultDouble(options)
    double.#server.listen(0, '127.0.0.1')
    await once(double.#server, 'listening')
    return double
  }

  get address(): string {
    const { port } = this.#server.address() as AddressInfo
    return `${this.#options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`
  }

  /** How many requests a path has had. */
  count(path: string): number {
    return this.audit.filter((one) => one.path === path).length
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    if (this.#server.listening) await once(this.#server, 'close')
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    if (this.fault?.(request, response) === true) return
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const text = Buffer.concat(chunks).toString()
    const url = new URL(request.url ?? '/', 'http://vault')
    const path = decodeURIComponent(url.pathname.slice('/v1/'.length))
    const token = this.sessions.living(header(request, 'x-vault-token'))
    const body = (text === '' ? {} : JSON.parse(text)) as Readonly<Record<string, unknown>>
    const reply = this.#answer(request, path, url.searchParams, body, token)
    const requestId = randomUUID()
    this.audit.push({
      method: request.method ?? '',
      path,
      status: reply.status,
      requestId,
      callId: header(request, 'x-correlation-id'),
      namespace: header(request, 'x-vault-namespace'),
      isFlagged: header(request, 'x-vault-request') === 'true',
      role: token?.role,
      pod: token?.pod,
    })
    if (this.losesAnswer(path)) {
      response.destroy()
      return
    }
    response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers })
    response.end(reply.status === 204 ? undefined : dress(reply, requestId))
  }

  #answer(
    request: http.IncomingMessage,
    path: string,
    query: URLSearchParams,
    body: Readonly<Record<string, unknown>>,
    token: Token | undefined,
  ): Reply {
    if (this.isSealed) return { status: 503, errors: ['Vault is sealed'] }
    if (this.retryAfterS !== undefined) {
      const headers = { 'retry-after': `${this.retryAfterS}` }
      return { status: 429, errors: [`request path "${path}": rate limit quota exceeded`], headers }
    }
    const namespace = header(request, 'x-vault-namespace')
    const isPlain = this.namespace === undefined && this.#options.server !== 'openbao'
    if (!isPlain && namespace !== undefined && namespace !== this.namespace) return NO_NAMESPACE
    if (!isPlain && namespace !== this.namespace) return UNNAMED
    const mount = this.#options.authMount ?? 'jwt'
    if (path === `auth/${mount}/login`) return this.#login(body)
    // Whoever has not logged in hears nothing of what there is.
    if (request.headers['x-vault-token'] === undefined) return UNNAMED
    if (token === undefined) return this.#dead(request)
    if (path.startsWith('sys/internal/ui/mounts/')) {
      return this.#mountOf(token, path.slice('sys/internal/ui/mounts/'.length))
    }
    const method = request.method ?? 'GET'
    const capability: Capability = method === 'GET' ? 'read' : 'update'
    if (!this.sessions.isAllowed(token, path, capability)) return DENIED
    return this.#own(path, body, token) ?? this.#engine(method, path, query, body, token)
  }

  #dead(request: http.IncomingMessage): Reply {
    const parts = (header(request, 'x-vault-token') ?? '').split('.')
    const namespaceId = parts.length > 2 ? parts.at(-1) : undefined
    if (namespaceId !== undefined && namespaceId !== this.sessions.namespaceId) {
      return LOST_NAMESPACE
    }
    return this.#options.server === 'openbao' ? DENIED : DEAD
  }

  #login(body: Readonly<Record<string, unknown>>): Reply {
    const name = body['role']
    if (typeof name !== 'string' || name === '') return refused('missing role')
    const role = this.roles.get(name)
    if (role === undefined) return refused(`role "${name}" could not be found`)
    const claims = this.#options.checkJwt(typeof body['jwt'] === 'string' ? body['jwt'] : '')
    if (claims === undefined) {
      return refused('error validating token: error verifying token signature: no known key')
    }
    if (claims.expiresAtMs <= this.#options.clock.now() - 150_000) {
      return refused('error validating token: token is expired')
    }
    if (!claims.audiences.includes(role.audience)) {
      return refused(
        'error validating token: invalid audience (aud) claim: audience claim does not match any expected audience',
      )
    }
    const isBound = role.serviceAccount === '*' || role.serviceAccount === claims.serviceAccount
    if (claims.namespace !== role.namespace || !isBound) {
      return refused(
        'error validating claims: claim "/kubernetes.io/namespace" does not match any associated bound claim values',
      )
    }
    const token = this.sessions.open(name, role, claims.pod)
    const auth = {
      accessor: randomUUID(),
      client_token: token.id,
      entity_id: randomUUID(),
      lease_duration: role.ttlMs / 1000,
      metadata: { pod: claims.pod, role: name },
      mfa_requirement: null,
      num_uses: 0,
      orphan: true,
      policies: token.policies,
      renewable: token.renewable,
      token_policies: token.policies,
      token_type: token.renewable ? 'service' : 'batch',
    }
    return { status: 200, auth }
  }

  #mountOf(token: Token, path: string): Reply {
    const [mountPath, engine] = this.#covering(path)
    if (engine === undefined || !this.sessions.hasSome(token, mountPath)) {
      const words = `preflight capability check returned 403, please ensure client's policies grant access to path "${path}/"`
      return { status: 403, errors: [words] }
    }
    return { status: 200, data: { options: engine.options, path: mountPath, type: engine.type } }
  }

  /** The calls about tokens and leases. */
  #own(path: string, body: Readonly<Record<string, unknown>>, token: Token): Reply | undefined {
    const incrementMs = (typeof body['increment'] === 'number' ? body['increment'] : 3600) * 1000
    switch (path) {
      case 'auth/token/renew-self': {
        if (!token.renewable) return refused('batch tokens cannot be renewed')
        const seconds = this.sessions.renew(token, incrementMs)
        const auth = { client_token: token.id, lease_duration: seconds, renewable: true }
        return { status: 200, auth }
      }
      case 'auth/token/lookup-self': {
        const remainingMs = token.expiresAtMs - this.#options.clock.now()
        const ttl = Math.floor(remainingMs / 1000)
        const expireTime = new Date(token.expiresAtMs).toISOString()
        const { id, renewable, ttlMs } = token
        const creationTtl = ttlMs / 1000
        const data = { creation_ttl: creationTtl, expire_time: expireTime, id, renewable, ttl }
        return { status: 200, data }
      }
      case 'auth/token/revoke-self':
        this.sessions.endToken(token)
        return NO_CONTENT
      case 'sys/leases/renew':
      case 'sys/leases/revoke': {
        const lease = this.sessions.leases.get(String(body['lease_id']))
        const isRenewal = path.endsWith('renew')
        if (lease === undefined) return isRenewal ? refused('lease not found') : NO_CONTENT
        if (isRenewal) {
          const leaseSeconds = this.sessions.renew(lease, incrementMs)
          return { status: 200, leaseId: lease.id, leaseSeconds, renewable: true }
        }
        this.sessions.endLease(lease)
        return NO_CONTENT
      }
      default:
        return undefined
    }
  }

  #engine(
    method: string,
    path: string,
    query: URLSearchParams,
    body: Readonly<Record<string, unknown>>,
    token: Token,
  ): Reply {
    const [mountPath, engine] = this.#covering(path)
    if (engine === undefined) {
      return { status: 404, errors: [`no handler for route "${path}". route entry not found.`] }
    }
    const below = path.slice(mountPath.length)
    return engine.answer({ method, path: below, query, body, token, mountPath })
  }

  #covering(path: string): [string, Engine | undefined] {
    for (const [mountPath, engine] of this.engines) {
      if (`${path}/`.startsWith(mountPath)) return [mountPath, engine]
    }
    return ['', undefined]
  }
}

function header(request: http.IncomingMessage, name: string): string | undefined {
  const value = request.headers[name]
  return typeof value === 'string' ? value : undefined
}

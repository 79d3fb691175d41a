import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../core/clock.ts'
import type { Answer } from './answer.ts'
import {
  badRequest,
  forbidden,
  NO_SUCH_RESOURCE,
  NOT_ACCEPTABLE,
  statusAnswer,
  textAnswer,
  UNAUTHORIZED,
} from './answer.ts'
import { ApiListener } from './api-listener.ts'
import { DAEMON_ACCOUNT } from './cluster-objects.ts'
import type { ClusterObjects } from './cluster-objects.ts'
import { Faults } from './faults.ts'
import type { Failure, RequestKind } from './faults.ts'
import { buildKubeconfig } from './kubeconfig.ts'
import { negotiate, PLAIN_JSON } from './media-type.ts'
import { createServingPki } from './pki.ts'
import type { ServingPki } from './pki.ts'
import { collectRequestBody } from './request-body.ts'
import { parseRequestInfo } from './request-info.ts'
import type { RequestInfo } from './request-info.ts'
import { answerSecrets } from './secrets.ts'
import { answerTokenReview } from './token-review.ts'
import { ANONYMOUS } from './user.ts'
import type { User } from './user.ts'
import { answerVersion } from './version.ts'
import { Watch } from './watch.ts'
import type { WatchPlan } from './watch.ts'

export interface ApiServerOptions {
  readonly objects: ClusterObjects
  readonly clock: Clock
  /** Default: one of its own. */
  readonly pki?: ServingPki
}

const DAEMON_TOKEN_SECONDS = 365 * 86_400

/**
 * The part of a Kubernetes API server that Latchkey speaks with: TokenReview, reading and watching
 * Secrets, events about pods, who may and who may not. Counts what it is asked, and gives trouble on demand.
 */
export class ApiServer {
  readonly objects: ClusterObjects
  /** The CA that vouches for it. */
  readonly authorityPem: string
  readonly #clock: Clock
  readonly #listener: ApiListener
  readonly #faults: Faults
  readonly #watches = new Set<Watch>()
  readonly #stopping = new AbortController()
  readonly #counts = { tokenReview: 0, secretRead: 0, secretWatch: 0, other: 0 }

  private constructor(options: ApiServerOptions, pki: ServingPki) {
    this.objects = options.objects
    this.authorityPem = pki.authorityPem
    this.#clock = options.clock
    this.#faults = new Faults(options.clock)
    this.#listener = new ApiListener(pki.identity, (request, response) => {
      // A client that has gone gets no answer, and nobody misses it.
      this.#serve(request, response).catch(() => response.destroy())
    })
  }

  static async start(options: ApiServerOptions): Promise<ApiServer> {
    const server = new ApiServer(options, options.pki ?? (await createServingPki()))
    await server.up()
    return server
  }

  /** https://127.0.0.1:PORT, the same for the whole life. */
  get origin(): string {
    return this.#listener.origin
  }

  /** What a kubeconfig file for the daemon holds: the CA, and a token that may create tokenreviews only. */
  daemonKubeconfig(): string {
    const { token } = this.objects.tokens.mintForServiceAccount(
      DAEMON_ACCOUNT,
      DAEMON_TOKEN_SECONDS,
    )
    return buildKubeconfig(this.origin, this.authorityPem, token)
  }

  /** Requests so far, refused ones too. */
  get counts(): Readonly<Record<RequestKind, number>> {
    return { ...this.#counts }
  }

  get openWatches(): number {
    return this.#watches.size
  }

  get openConnections(): number {
    return this.#listener.openConnections
  }

  /** Connections ever made. */
  get connections(): number {
    return this.#listener.connections
  }

  get isUp(): boolean {
    return this.#listener.isUp
  }

  /** Cuts every connection and refuses new ones until `up`. */
  async down(): Promise<void> {
    await this.#listener.down()
  }

  /** Listens again, at the same port. Throws: Internal where somebody has taken that. */
  async up(): Promise<void> {
    await this.#listener.up()
  }

  /** Every answer comes that much later. */
  setLatency(latencyMs: number): void {
    this.#faults.setLatency(latencyMs)
  }

  /** The next requests (of that kind) fail with that code. */
  failNext(failure: Failure): void {
    this.#faults.failNext(failure)
  }

  clearFaults(): void {
    this.#faults.clear()
  }

  /** Ends every watch in good order, as after its time is up. */
  endWatches(): void {
    for (const watch of this.#watches) watch.end()
  }

  /** Forgets past writes: a watch from a version before this moment is Gone (410). */
  compact(): void {
    this.objects.secrets.compact()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.down()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.origin)
    const info = parseRequestInfo(request.method ?? 'GET', url)
    const kind = kindOf(info)
    this.#counts[kind] += 1
    // Read in any case: what is left unread of a body would stand in the next request's way.
    const body = await collectRequestBody(request)
    await this.#faults.delay(this.#stopping.signal)
    const answer = this.#faults.strike(kind) ?? this.#answer(request, url, info, body)
    body?.fill(0)
    if ('code' in answer) send(response, answer)
    else this.#startWatch(answer, response)
  }

  #answer(
    request: IncomingMessage,
    url: URL,
    info: RequestInfo | undefined,
    body: Buffer | undefined,
  ): Answer | WatchPlan {
    const negotiated = negotiate(request.headers.accept)
    const { encoding } = negotiated ?? PLAIN_JSON
    const user = this.#authenticate(request.headers.authorization)
    if (user === undefined) return statusAnswer(UNAUTHORIZED, encoding)
    if (info === undefined) return statusAnswer(badRequest('the path is malformed'), encoding)
    if (!this.objects.grants.allows(user, info))
      return statusAnswer(forbidden(user, info), encoding)
    if (info.kind === 'path')
      return answerPath(info.path) ?? statusAnswer(NO_SUCH_RESOURCE, encoding)
    if (negotiated === undefined) return statusAnswer(NOT_ACCEPTABLE, 'json')
    if (body === undefined) return statusAnswer(BODY_TOO_LARGE, encoding)
    const method = request.method ?? 'GET'
    if (info.resource === 'tokenreviews') {
      const contentType = request.headers['content-type'] ?? ''
      return answerTokenReview({ method, contentType, body }, this.objects.tokens)
    }
    if (info.resource === 'events') {
      const contentType = request.headers['content-type'] ?? ''
      return this.objects.createdEvents.answer({ method, contentType, info, body })
    }
    const form = negotiated
    return answerSecrets({ method, url, info, form }, this.objects.secrets, this.#clock.now())
  }

  /** undefined: a bearer token that is not good. */
  #authenticate(authorization: string | undefined): User | undefined {
    const token = /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
    return token === undefined ? ANONYMOUS : this.objects.tokens.judge(Buffer.from(token), []).user
  }

  #startWatch(plan: WatchPlan, response: ServerResponse): void {
    const watch = new Watch(plan, this.objects.secrets, this.#clock, response)
    this.#watches.add(watch)
    response.once('close', () => this.#watches.delete(watch))
    watch.start()
  }
}

const BODY_TOO_LARGE = {
  code: 413,
  message: 'Request entity too large: limit is 3145728',
  reason: 'RequestEntityTooLarge',
}

function kindOf(info: RequestInfo | undefined): RequestKind {
  if (info?.kind !== 'resource') return 'other'
  if (info.resource === 'tokenreviews' && info.verb === 'create') return 'tokenReview'
  if (info.resource !== 'secrets') return 'other'
  return info.verb === 'get' ? 'secretRead' : info.verb === 'watch' ? 'secretWatch' : 'other'
}

/** The few paths that are no resource. */
function answerPath(path: string): Answer | undefined {
  if (/^\/version\/?$/.test(path)) return answerVersion()
  if (/^\/(healthz|livez|readyz)$/.test(path)) return textAnswer(200, 'ok')
  return undefined
}

function send(response: ServerResponse, { code, contentType, body, headers = {} }: Answer): void {
  response.writeHead(code, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-cache, private',
    ...headers,
  })
  response.end(body)
}

import { request as httpsRequest } from 'node:https'
import type { Agent } from 'node:https'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { until } from '../support/until.ts'

/** Where an API server listens, and the CA that vouches for it. */
export interface Endpoint {
  readonly origin: string
  readonly authorityPem: string
}

export interface Question {
  readonly path: string
  readonly method?: string
  readonly token?: string | undefined
  readonly accept?: string | undefined
  readonly body?: object | string
  readonly agent?: Agent
  /** A client certificate, PEM. */
  readonly identity?: { readonly certPem: string; readonly keyPem: string } | undefined
}

export interface Reply {
  readonly status: number
  readonly contentType: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** The body as JSON. */
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- who asks knows
  json<T = Record<string, unknown>>(): T
}

/** One event of a watch, its object as loosely as JSON leaves it. */
export interface WatchLine {
  readonly type: string
  readonly object: {
    readonly kind: string
    readonly message?: string
    readonly code?: number
    readonly reason?: string
    readonly data?: Readonly<Record<string, string>>
    readonly metadata: {
      readonly name?: string
      readonly resourceVersion?: string
      readonly annotations?: Readonly<Record<string, string>>
    }
    readonly columnDefinitions?: readonly { readonly name: string }[] | null
    readonly rows?: readonly { readonly cells: readonly unknown[]; readonly object: unknown }[]
  }
}

export interface OpenWatch {
  readonly status: number
  readonly contentType: string
  /** All lines so far. */
  readonly lines: () => readonly WatchLine[]
  /** Waits until there are that many. */
  arrive(count: number): Promise<readonly WatchLine[]>
  /** Resolves when the server has ended it; false: it broke off. */
  readonly ended: Promise<boolean>
  close(): void
}

/** Asks once, on a connection of its own unless an agent is given. */
export async function ask(endpoint: Endpoint, question: Question): Promise<Reply> {
  const response = await send(endpoint, question)
  const chunks: Buffer[] = []
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk)
  const body = Buffer.concat(chunks)
  return {
    status: response.statusCode ?? 0,
    contentType: response.headers['content-type'] ?? '',
    headers: response.headers,
    body,
    // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- who asks knows
    json: <T>() => JSON.parse(body.toString()) as T,
  }
}

/** Opens a watch, or whatever comes in its place. */
export async function openWatch(endpoint: Endpoint, question: Question): Promise<OpenWatch> {
  const response = await send(endpoint, question)
  let text = ''
  const ended = new Promise<boolean>((resolve) => {
    response.on('data', (chunk: Buffer) => (text += chunk.toString()))
    response.once('error', () => undefined)
    response.once('close', () => {
      resolve(response.complete)
    })
  })
  const lines = (): readonly WatchLine[] =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as WatchLine)
  return {
    status: response.statusCode ?? 0,
    contentType: response.headers['content-type'] ?? '',
    lines,
    async arrive(count) {
      await until(() => lines().length >= count, { what: `${count} lines of a watch` })
      return lines()
    },
    ended,
    close: () => response.destroy(),
  }
}

function send(
  { origin, authorityPem }: Endpoint,
  { path, method = 'GET', token, accept, body, agent, identity }: Question,
): Promise<IncomingMessage> {
  const { hostname, port } = new URL(origin)
  const text = typeof body === 'object' ? JSON.stringify(body) : body
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        hostname,
        port,
        path,
        method,
        ca: authorityPem,
        agent: agent ?? false,
        ...(identity === undefined ? {} : { cert: identity.certPem, key: identity.keyPem }),
        headers: {
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(accept === undefined ? {} : { accept }),
          ...(text === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
        },
      },
      resolve,
    )
    request.once('error', reject)
    request.end(text)
  })
}

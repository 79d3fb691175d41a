import { createInterface } from 'node:readline'

import { Agent, type Dispatcher } from 'undici'

export interface ApiClientOptions {
  readonly url: string
  readonly authority?: Buffer
  /** Left out: the URL's own address. */
  readonly socketPath?: string
  /** Left out: each call brings a token. */
  readonly certificate?: { readonly cert: Buffer; readonly key: Buffer }
  readonly connections: number
}

/**
 * The API server's plain HTTPS, JSON both ways, over connections that are kept: what anybody would write who has
 * no more than a few calls to make, and the least that Latchkey itself could do.
 */
export class ApiClient {
  readonly #dispatcher: Dispatcher
  readonly #origin: string

  constructor({ url, authority, socketPath, certificate, connections }: ApiClientOptions) {
    this.#origin = url
    this.#dispatcher = new Agent({
      connections,
      pipelining: 1,
      connect: {
        ...(authority && { ca: authority }),
        ...(socketPath !== undefined && { socketPath }),
        ...certificate,
      },
    })
  }

  get(path: string, token?: string): Promise<unknown> {
    return this.#send('GET', path, undefined, token)
  }

  post(path: string, body: object, token?: string): Promise<unknown> {
    return this.#send('POST', path, body, token)
  }

  /** A merge patch. */
  patch(path: string, body: object): Promise<unknown> {
    return this.#send('PATCH', path, body, undefined)
  }

  delete(path: string, gracePeriodSeconds: number): Promise<unknown> {
    return this.#send('DELETE', path, { gracePeriodSeconds }, undefined)
  }

  /** Tells of each object that a watch brings, until the signal is aborted. */
  async watch(
    path: string,
    signal: AbortSignal,
    onObject: (object: unknown) => void,
  ): Promise<void> {
    const answer = await this.#dispatcher.request({
      origin: this.#origin,
      method: 'GET',
      path,
      signal,
    })
    const lines = createInterface({ input: answer.body }).on('error', () => undefined)
    // It ends by the signal, which comes as an error to both of them.
    answer.body.on('error', () => undefined)
    lines.on('line', (line) => {
      onObject((JSON.parse(line) as { readonly object: unknown }).object)
    })
  }

  close(): Promise<void> {
    return this.#dispatcher.destroy()
  }

  async #send(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    path: string,
    body: object | undefined,
    token: string | undefined,
  ): Promise<unknown> {
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json'
    const answer = await this.#dispatcher.request({
      origin: this.#origin,
      method,
      path,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': type }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    })
    const text = await answer.body.text()
    if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${text}`)
    return text.startsWith('{') ? (JSON.parse(text) as unknown) : text
  }
}

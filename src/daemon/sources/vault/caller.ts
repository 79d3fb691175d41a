import { randomUUID } from 'node:crypto'
import type { Clock } from '../../../core/clock.ts'
import { withDeadline } from '../../../core/deadline.ts'
import { LatchkeyError } from '../../../core/errors.ts'
import type { Reason } from '../../../core/errors.ts'
import type { SecretBytes } from '../../../core/secret-bytes.ts'
import { errorsOf, parseAnswer, requestIdOf, type Answer } from './answer.ts'
import { JsonError } from './json-walk.ts'
import type { Pace } from './pace.ts'
import { cleanWords, type Refused } from './refusal.ts'
import type { VaultSettings } from './settings.ts'
import type { VaultResponse, VaultTransport } from './transport.ts'
import { VaultError } from './vault-error.ts'

/** The words by which calls are counted; no secret's name among them. */
export type VaultOperation =
  | 'login'
  | 'mounts'
  | 'read'
  | 'issue'
  | 'renew-lease'
  | 'renew-self'
  | 'lookup-self'
  | 'revoke-lease'
  | 'revoke-self'

/** One call that has ended, for a log line and the metrics. */
export interface FinishedCall {
  readonly source: string
  readonly operation: VaultOperation
  /** Ours, sent as X-Correlation-Id. */
  readonly callId: string
  /** Vault's, where the answer had one. */
  readonly requestId: string | undefined
  readonly status: number | undefined
  /** Undefined where the call did what it should. */
  readonly reason: Reason | undefined
  readonly durationMs: number
}

export interface VaultCall<T> {
  readonly operation: VaultOperation
  readonly method: 'GET' | 'POST'
  /** Below /v1/, encoded, with its query. */
  readonly path: string
  readonly token?: SecretBytes
  /** Of the session whose token it is. */
  readonly role?: string | undefined
  /** Given up: zeroed when the call has ended. */
  readonly body?: Buffer
  readonly isRepeatable: boolean
  /** What must never be quoted back to anybody, beside the token. */
  readonly secrets?: readonly SecretBytes[]
  /** Takes what it needs; the text is zeroed afterwards. */
  readonly decode: (answer: Answer) => T
  /** For a status other than 2xx. */
  readonly refuse: (refused: Refused, answer: Answer | undefined) => LatchkeyError
}

export interface CallerOptions {
  readonly settings: VaultSettings
  readonly transport: VaultTransport
  readonly pace: Pace
  readonly clock: Clock
  readonly onCall: ((call: FinishedCall) => void) | undefined
  /** A namespace, whose calls wait in a line of their own. */
  readonly tenant: string
}

/** Whoever makes calls. */
export type Calls = Pick<Caller, 'run'>

const HEADER_SAFE = /^[\x21-\x7e]+$/

/** Makes one call, at the source's pace and within its time, and zeroes what came back. */
export class Caller {
  readonly #options: CallerOptions

  constructor(options: CallerOptions) {
    this.#options = options
  }

  /** Throws: what `refuse` answers · SourceUnavailable · Timeout · PayloadTooLarge · Overloaded · the signal's reason. */
  async run<T>(call: VaultCall<T>, signal: AbortSignal): Promise<T> {
    const { settings, pace, clock, tenant } = this.#options
    const what = `the ${call.operation} call to Vault "${settings.name}"`
    try {
      return await withDeadline(clock, settings.limits.timeoutMs, what, signal, (bounded) =>
        pace.run(bounded, () => this.#send(call, bounded), tenant),
      )
    } finally {
      call.body?.fill(0)
    }
  }

  async #send<T>(call: VaultCall<T>, signal: AbortSignal): Promise<T> {
    const { settings, clock, onCall } = this.#options
    const callId = randomUUID()
    const startedMs = clock.now()
    let status: number | undefined
    let requestId: string | undefined
    const report = (reason: Reason | undefined): void => {
      const { operation } = call
      const durationMs = Math.max(0, clock.now() - startedMs)
      onCall?.({ source: settings.name, operation, callId, requestId, status, reason, durationMs })
    }
    try {
      const response = await this.#exchange(call, callId, signal)
      status = response.status
      try {
        const answer = this.#parse(response)
        requestId = answer === undefined ? undefined : requestIdOf(answer)
        const decoded = this.#judge(call, response, answer)
        report(undefined)
        return decoded
      } finally {
        response.body.fill(0)
      }
    } catch (thrown) {
      const error = LatchkeyError.from(thrown)
      report(error.reason)
      throw error
    }
  }

  #exchange<T>(call: VaultCall<T>, callId: string, signal: AbortSignal): Promise<VaultResponse> {
    const { settings, transport } = this.#options
    const { method, path, token, body, isRepeatable } = call
    const headers = {
      // Keeps a Vault agent's or proxy's listener from being used by whoever can make it send requests.
      'x-vault-request': 'true',
      // Vault shows it in its audit log without being told to.
      'x-correlation-id': callId,
      ...(settings.namespace === undefined ? {} : { 'x-vault-namespace': settings.namespace }),
      ...(token === undefined ? {} : { 'x-vault-token': this.#headerOf(token) }),
    }
    return transport.send({ method, path: `/v1/${path}`, headers, body, isRepeatable }, signal)
  }

  // node:http takes strings alone: of all secrets, a session's token is the one that becomes one here.
  #headerOf(token: SecretBytes): string {
    const text = token.use((bytes) => bytes.toString('latin1'))
    if (HEADER_SAFE.test(text)) return text
    throw new VaultError('AccessDenied', 'the token of the session is none', {
      trouble: 'dead-token',
    })
  }

  /** Undefined where no Vault wrote it. */
  #parse({ body }: VaultResponse): Answer | undefined {
    try {
      return parseAnswer(body)
    } catch (thrown) {
      if (thrown instanceof JsonError) return undefined
      throw thrown
    }
  }

  #judge<T>(call: VaultCall<T>, response: VaultResponse, answer: Answer | undefined): T {
    const { status } = response
    try {
      if (status < 200 || status > 299) {
        throw call.refuse(this.#refused(call, response, answer), answer)
      }
      if (answer === undefined) throw this.#unreadable(status)
      return call.decode(answer)
    } catch (thrown) {
      throw thrown instanceof JsonError ? this.#unreadable(status) : thrown
    }
  }

  #refused<T>(
    { token, secrets = [] }: VaultCall<T>,
    { status, retryAfter }: VaultResponse,
    answer: Answer | undefined,
  ): Refused {
    const words = answer === undefined ? '' : errorsOf(answer)
    const struck = token === undefined ? secrets : [...secrets, token]
    return {
      status,
      words: cleanWords(words, struck),
      retryAfterMs: parseRetryAfter(retryAfter, this.#options.clock.now()),
    }
  }

  #unreadable(status: number): VaultError {
    const { name } = this.#options.settings
    return new VaultError(
      'SourceUnavailable',
      `what answered for Vault "${name}" is none: no JSON that a Vault would write; mend the source's address`,
      { status, isUnheard: true },
    )
  }
}

/** Seconds or a date (RFC 9110, section 10.2.3). */
function parseRetryAfter(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined || header === '') return undefined
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - nowMs
  return Number.isFinite(ms) && ms >= 0 ? ms : undefined
}

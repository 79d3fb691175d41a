import { LatchkeyError } from '../../core/errors.ts'

const TIMEOUT_CODES: ReadonlySet<string> = new Set([
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
])
const CLOSED_CODES: ReadonlySet<string> = new Set(['UND_ERR_DESTROYED', 'UND_ERR_CLOSED'])
const STALE_CODES: ReadonlySet<string> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])
const CODE = /^[A-Z][A-Z0-9_]{1,63}$/

/**
 * What stopped a call on its way, in our own words: the HTTP library's messages and causes may quote
 * what was sent or received, so nothing of them is kept but the code.
 *
 * Answers: KubeUnavailable · Timeout · ShuttingDown where the client has been closed · a LatchkeyError as it is.
 */
export function connectionError(thrown: unknown): LatchkeyError {
  if (thrown instanceof LatchkeyError) return thrown
  const code = errorCode(thrown) ?? 'no code'
  if (TIMEOUT_CODES.has(code)) {
    return new LatchkeyError('Timeout', 'the API server did not answer in time')
  }
  if (CLOSED_CODES.has(code)) return new LatchkeyError('ShuttingDown', 'the daemon is stopping')
  return new LatchkeyError('KubeUnavailable', `no connection to the API server (${code})`)
}

/**
 * Whether a call may have met a kept-alive connection in the moment in which the other side closed it.
 * Worth one more try, for calls that change nothing.
 */
export function isStaleConnection(thrown: unknown): boolean {
  return STALE_CODES.has(errorCode(thrown) ?? '')
}

/** The code of a system, TLS or HTTP library error, such as ECONNREFUSED. */
export function errorCode(thrown: unknown): string | undefined {
  if (typeof thrown !== 'object' || thrown === null || !('code' in thrown)) return undefined
  return typeof thrown.code === 'string' && CODE.test(thrown.code) ? thrown.code : undefined
}

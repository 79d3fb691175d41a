import { LatchkeyError } from '../../../core/errors.ts'
import { errorCode } from '../../kube/connection-error.ts'
import type { VaultSettings } from './settings.ts'
import { VaultError } from './vault-error.ts'

/** A call that ended before its answer did. */
class BrokenCall extends Error {
  readonly code: string
  readonly isStale: boolean

  constructor(code: string, isStale: boolean) {
    super(code)
    this.code = code
    this.isStale = isStale
  }
}

const UNTRUSTED: ReadonlySet<string> = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
])

/** The call never went out. */
const BEFORE_SENDING: ReadonlySet<string> = new Set([
  ...UNTRUSTED,
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'CERT_HAS_EXPIRED',
  'ERR_TLS_CERT_ALTNAME_INVALID',
])

export function brokenOff(code: string): Error {
  return new BrokenCall(code, false)
}

/** What happened to a call on a kept connection before any answer came. */
export function brokenOnKept(thrown: unknown): Error {
  return new BrokenCall(errorCode(thrown) ?? 'no code', true)
}

/** Whether a call may have met a kept connection in the moment in which the other side closed it. */
export function isStale(thrown: unknown): boolean {
  return thrown instanceof BrokenCall && thrown.isStale
}

/**
 * What stopped a call on its way, in our own words: Node's messages may quote what was sent or received,
 * so nothing of them is kept but the code.
 *
 * Answers: SourceUnavailable, naming the setting where one is to blame · a LatchkeyError as it is.
 */
export function connectionRefusal(thrown: unknown, settings: VaultSettings): LatchkeyError {
  if (thrown instanceof LatchkeyError) return thrown
  const code = errorCode(thrown) ?? 'no code'
  return new VaultError(
    'SourceUnavailable',
    `no connection to Vault "${settings.name}" (${code})${hintFor(code)}`,
    { isSourceWide: true, isUnheard: !BEFORE_SENDING.has(code) },
  )
}

function hintFor(code: string): string {
  if (UNTRUSTED.has(code))
    return ": its certificate is not from the authority in the source's caFile"
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return ': its certificate is for another name; mend address, or set serverName'
  }
  if (code === 'CERT_HAS_EXPIRED') return ': its certificate has expired'
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return ': the name in address does not resolve'
  return ''
}

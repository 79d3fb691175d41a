import type { Reason } from '../../../core/errors.ts'
import { cleaned } from '../../../core/foreign-text.ts'
import type { SecretBytes } from '../../../core/secret-bytes.ts'
import { VaultError, type VaultErrorDetails } from './vault-error.ts'

/** An answer other than 2xx. */
export interface Refused {
  readonly status: number
  readonly retryAfterMs: number | undefined
  /** Vault's own words, cleaned; '' where it had none. */
  readonly words: string
}

/** For the sentences of an error. */
export interface Asked {
  /** The source's name. */
  readonly source: string
  /** The path below /v1, as a policy names it. */
  readonly path: string
  /** What the policy has to grant for it. */
  readonly capability: 'read' | 'update'
  readonly role: string | undefined
}

const MAX_WORDS_CHARS = 512
const VAULT_TOKEN = /\b(hv[sbr]|[sbr])\.[\w-]{20,}/g
// Whole sentences, once their dress is off (see errorsOf): Vault quotes paths, and a path says what a tenant likes.
const DEAD_TOKEN = /^(permission denied; )?(invalid|bad) token(; permission denied)?$/
const BARE_DENIAL = /^permission denied$/
// The session went with its namespace. Where another of that name was made since, the server knows the name and
// falls over the session's own: it names namespaces by an id. OpenBao does so to a session of Vault's as well.
const NO_NAMESPACE = /^namespace not found$/
const LOST_NAMESPACE =
  /^(error performing token check: )?failed to look up namespace from the token(: [a-z ]+)?$/
/** Those of Vault's health check, which proxies hand on; 412 is a server that has not caught up yet. */
const NOT_READY: ReadonlySet<number> = new Set([412, 429, 472, 473, 503])

/** Vault's words for an error of ours: one plain line, bounded, no token in it. */
export function cleanWords(words: string, secrets: readonly SecretBytes[]): string {
  return cleaned(words.replaceAll(VAULT_TOKEN, '[token]'), MAX_WORDS_CHARS, secrets)
}

/** Whether that may be said to a session that has ended as well as to one that lacks a right. */
export function isBareDenial({ status, words }: Refused): boolean {
  return status === 403 && BARE_DENIAL.test(words)
}

/** Whether there is no such namespace. */
export function lacksNamespace({ status, words }: Refused): boolean {
  return status === 404 && NO_NAMESPACE.test(words)
}

/** Whether that is said to a token that is none any more, and to nobody else. */
export function namesDeadToken({ status, words }: Refused): boolean {
  return status === 403 && DEAD_TOKEN.test(words)
}

/** Whether the server says that the session has ended. */
export function endsSession(refused: Refused): boolean {
  const { status, words } = refused
  if (lacksNamespace(refused) || namesDeadToken(refused)) return true
  return status === 500 && LOST_NAMESPACE.test(words)
}

/** The error for a refusal of anything but a login. */
export function refusalOf(refused: Refused, asked: Asked): VaultError {
  const { status, words } = refused
  const said = words === '' ? '' : `: ${words}`
  const refuse = (reason: Reason, message: string, details: VaultErrorDetails = {}): VaultError =>
    new VaultError(reason, message, { status, ...details })
  const where = `Vault "${asked.source}"`
  if (endsSession(refused)) {
    return refuse(
      'AccessDenied',
      `${where} has ended the session of ${whoOf(asked)} that asked to ${asked.capability} "${asked.path}"${said}`,
      { trouble: 'dead-token' },
    )
  }
  const shared = sharedRefusal(refused, asked.source)
  if (shared !== undefined) return shared
  switch (status) {
    case 403:
      return refuse(
        'AccessDenied',
        `${where} does not let ${whoOf(asked)} ${asked.capability} "${asked.path}"${said}; ${policyHint(asked)}`,
      )
    case 404:
      return refuse('SecretNotFound', `${where} has nothing at "${asked.path}"${said}`)
    case 405:
      return refuse(
        'InvalidRequest',
        `${where} refused "${asked.path}"${said}; ${methodHint(asked)}`,
      )
    default:
      return refuse('InvalidRequest', `${where} refused "${asked.path}" (${status})${said}`)
  }
}

/** What has nothing to do with what was asked: not ready, broken, somewhere else. */
export function sharedRefusal(
  { status, words, retryAfterMs }: Refused,
  source: string,
): VaultError | undefined {
  const where = `Vault "${source}"`
  const said = words === '' ? '' : `: ${words}`
  const unavailable = (message: string, isSourceWide: boolean, isUnheard = false): VaultError =>
    new VaultError('SourceUnavailable', message, { status, retryAfterMs, isSourceWide, isUnheard })
  if (NOT_READY.has(status)) return unavailable(`${where} ${stateWords(status)}${said}`, true)
  if (status >= 500) return unavailable(`${where} failed (${status})${said}`, false, true)
  if (status >= 300 && status < 400) {
    return unavailable(
      `${where} answered with a redirect (${status}), which is not followed: let the source's address name the active server or a load balancer of it`,
      true,
    )
  }
  return status >= 400 ? undefined : unavailable(`${where} answered ${status}`, false)
}

function stateWords(status: number): string {
  if (status === 429) return 'asks for fewer calls (429)'
  if (status === 503) return 'is sealed or not ready (503)'
  if (status === 412) return 'has not caught up yet (412)'
  return `is a standby that does not serve this (${status})`
}

function whoOf({ role }: Asked): string {
  return role === undefined ? 'this pod' : `role "${role}"`
}

function policyHint({ path, capability }: Asked): string {
  return `a policy of its role needs: path "${path}" { capabilities = ["${capability}"] }`
}

function methodHint({ capability }: Asked): string {
  return capability === 'read'
    ? 'such a path may want args in the item'
    : 'such a path may want no args in the item'
}

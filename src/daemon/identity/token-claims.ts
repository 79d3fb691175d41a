import { LatchkeyError } from '../../core/errors.ts'
import { quoted } from '../../core/foreign-text.ts'
import { MAX_TOKEN_BYTES } from '../../core/limits.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'

/** What a pod's service account token says of itself (claim `kubernetes.io`). Not verified by reading it. */
export interface TokenClaims {
  readonly namespace: string
  readonly pod: NamedObject
  readonly serviceAccount: NamedObject
  /** undefined before Kubernetes 1.30, which put it in. */
  readonly nodeName: string | undefined
  readonly audiences: readonly string[]
  readonly expiresAtMs: number
}

export interface NamedObject {
  readonly name: string
  readonly uid: string
}

const MAX_AUDIENCES = 64
const MAX_TEXT_CHARS = 1024
const UTF8 = new TextDecoder('utf-8', { fatal: true })
const COMPACT_JWS = /^[\w-]+\.([\w-]+)\.[\w-]+$/
// The latest moment that a Date can hold, in seconds.
const MAX_EPOCH_SECONDS = 8_640_000_000_000

/**
 * Reads the claims of a pod-bound token without verifying it: whoever relies on them needs another
 * proof, or a recipient that verifies. `audience` says in errors which token is meant.
 *
 * Throws: TokenRejected, never quoting the token or what is in it.
 */
export function decodeTokenClaims(token: SecretBytes, audience: string): TokenClaims {
  const payload = parsePayload(token, audience)
  const refuse: Refuse = (why) => refuseToken(audience, why)
  const kubernetes = objectAt(payload, 'kubernetes.io', refuse)
  return {
    namespace: textAt(kubernetes, 'namespace', refuse),
    pod: namedObjectAt(kubernetes, 'pod', refuse),
    serviceAccount: namedObjectAt(kubernetes, 'serviceaccount', refuse),
    nodeName:
      kubernetes['node'] === undefined
        ? undefined
        : textAt(objectAt(kubernetes, 'node', refuse), 'name', refuse),
    audiences: audiencesOf(payload['aud'], refuse),
    expiresAtMs: expiryOf(payload['exp'], refuse),
  }
}

/** How errors name a token: by the audience it was requested for. */
export function nameToken(audience: string): string {
  return audience === ''
    ? 'the token for the API server'
    : `the token for audience ${quoted(audience)}`
}

type Refuse = (why: string) => never
type JsonObject = Readonly<Record<string, unknown>>

function refuseToken(audience: string, why: string): never {
  throw new LatchkeyError('TokenRejected', `${nameToken(audience)} ${why}`)
}

function parsePayload(token: SecretBytes, audience: string): JsonObject {
  if (token.length > MAX_TOKEN_BYTES) {
    refuseToken(audience, `is longer than ${MAX_TOKEN_BYTES} bytes`)
  }
  const payload = token.use((bytes) => COMPACT_JWS.exec(bytes.toString('latin1'))?.[1])
  if (payload === undefined) return refuseToken(audience, 'is not a JSON web token')
  const json = Buffer.from(payload, 'base64url')
  let parsed: unknown
  try {
    parsed = JSON.parse(UTF8.decode(json))
  } catch {
    // The parser's own message quotes the payload.
    return refuseToken(audience, 'has claims that are not JSON')
  } finally {
    json.fill(0)
  }
  return isObject(parsed) ? parsed : refuseToken(audience, 'has claims that are not an object')
}

function objectAt(parent: JsonObject, name: string, refuse: Refuse): JsonObject {
  const value = Object.hasOwn(parent, name) ? parent[name] : undefined
  return isObject(value) ? value : refuse(`has no claim ${name}: it is not bound to a pod`)
}

function namedObjectAt(parent: JsonObject, name: string, refuse: Refuse): NamedObject {
  const object = objectAt(parent, name, refuse)
  return { name: textAt(object, 'name', refuse), uid: textAt(object, 'uid', refuse) }
}

function textAt(parent: JsonObject, name: string, refuse: Refuse): string {
  const value = Object.hasOwn(parent, name) ? parent[name] : undefined
  const fits = typeof value === 'string' && value !== '' && value.length <= MAX_TEXT_CHARS
  return fits ? value : refuse(`has a claim ${name} that is not a text`)
}

/** RFC 7519 section 4.1.3: one string, or an array of them. */
function audiencesOf(aud: unknown, refuse: Refuse): readonly string[] {
  const list: unknown = typeof aud === 'string' ? [aud] : aud
  if (!Array.isArray(list) || list.length > MAX_AUDIENCES) return refuse('has no claim aud')
  const texts = list.filter((entry) => typeof entry === 'string')
  return texts.length === list.length ? texts : refuse('has a claim aud that is not texts')
}

function expiryOf(exp: unknown, refuse: Refuse): number {
  const sane = typeof exp === 'number' && exp > 0 && exp <= MAX_EPOCH_SECONDS
  return sane ? Math.floor(exp * 1000) : refuse('has no claim exp')
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

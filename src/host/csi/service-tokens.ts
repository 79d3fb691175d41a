import { LatchkeyError } from '../../core/errors.ts'
import { MAX_TOKEN_BYTES, MAX_TOKENS } from '../../core/limits.ts'
import { SecretBytes } from '../../core/secret-bytes.ts'
import type { ServiceToken } from '../../core/types.ts'

const MAX_JSON_BYTES = 128 * 1024
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/

/**
 * Reads kubelet's JSON of tokens, `{AUDIENCE: {token, expirationTimestamp}}`. The bytes it came in stay the
 * caller's, to zero whatever becomes of the request.
 *
 * `secretKeys`: every key of the call's `secrets`; any other than `field` comes from a nodePublishSecretRef,
 * which would be a second way to a Secret that nobody has checked.
 * Throws: TokenMissing · InvalidRequest, which never quotes what it read.
 */
export function parseServiceTokens(
  json: Buffer | undefined,
  secretKeys: readonly string[],
  field: string,
): readonly ServiceToken[] {
  if (secretKeys.some((key) => key !== field)) {
    refuse('spec.volumes[].csi.nodePublishSecretRef', 'is not supported; name the Secret in secret')
  }
  if (json === undefined || json.length === 0) return missing()
  if (json.length > MAX_JSON_BYTES) refuse(field, `is longer than ${MAX_JSON_BYTES} bytes`)
  const entries = Object.entries(parseJson(json, field))
  if (entries.length === 0) return missing()
  if (entries.length > MAX_TOKENS) refuse(field, `has more than ${MAX_TOKENS} audiences`)
  return entries.map(([audience, entry]) => parseToken(audience, entry, field))
}

function parseJson(json: Buffer, field: string): object {
  try {
    const parsed: unknown = JSON.parse(json.toString())
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return parsed
  } catch {
    // The parser's message quotes the text, and tokens are in it.
  }
  return refuse(field, 'is not a JSON map of audiences')
}

function parseToken(audience: string, entry: unknown, field: string): ServiceToken {
  if (typeof entry !== 'object' || entry === null)
    return refuse(field, 'has an entry that is no map')
  const { token, expirationTimestamp } = entry as Readonly<Record<string, unknown>>
  const isToken =
    typeof token === 'string' && token.length <= MAX_TOKEN_BYTES && COMPACT_JWS.test(token)
  if (!isToken) return refuse(field, 'has an entry without a well-formed token')
  const expiresAtMs =
    typeof expirationTimestamp === 'string' ? Date.parse(expirationTimestamp) : Number.NaN
  if (!(expiresAtMs > 0)) return refuse(field, 'has an entry without an expirationTimestamp')
  return { audience, token: SecretBytes.copyOf(Buffer.from(token, 'latin1')), expiresAtMs }
}

function missing(): never {
  throw new LatchkeyError(
    'TokenMissing',
    'kubelet sent no tokens: the CSIDriver needs spec.tokenRequests with the `audience` of the ' +
      'configuration, and serviceAccountTokenInSecrets: true where the cluster knows it',
  )
}

function refuse(field: string, why: string): never {
  throw new LatchkeyError('InvalidRequest', `${field} ${why}`)
}

import { hash } from 'node:crypto'
import type { SecretBytes } from '../../core/secret-bytes.ts'

/** What a token is called where it has to be found again: a map keyed by the token itself would keep it as text. */
export type TokenDigest = string

/** SHA-256, base64. */
export function digestOfToken(token: SecretBytes): TokenDigest {
  return token.use((bytes) => hash('sha256', bytes, 'base64'))
}

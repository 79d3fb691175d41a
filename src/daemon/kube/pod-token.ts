import { LatchkeyError } from '../../core/errors.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'

const HEADER_SAFE = /^[\x21-\x7e]+$/

/**
 * The header that speaks for a pod. Throws: TokenRejected where the token could not be one, so that
 * the HTTP library never has to complain about it.
 */
export function bearerHeader(podToken: SecretBytes): string {
  const text = podToken.use((bytes) => bytes.toString('latin1'))
  if (!HEADER_SAFE.test(text)) {
    throw new LatchkeyError('TokenRejected', "the pod's token holds characters that no token has")
  }
  return `Bearer ${text}`
}

import type { IncomingMessage } from 'node:http'
import { collectBytes } from '../../../core/collected-bytes.ts'
import type { VaultSettings } from './settings.ts'
import { VaultError } from './vault-error.ts'

/** Vault's words about a refusal need no more; what is longer is cut. */
const MAX_REFUSAL_BYTES = 64 * 1024

/**
 * Collects a body into one buffer, which is the caller's to zero; the pieces it came in are zeroed here.
 *
 * Throws: PayloadTooLarge over the source's limit · SourceUnavailable for a compressed body, which nobody
 * asked for and whose size says nothing · what the connection broke off with.
 */
export async function collectAnswer(
  response: IncomingMessage,
  settings: VaultSettings,
): Promise<Buffer> {
  const encoding = response.headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') {
    response.destroy()
    throw new VaultError(
      'SourceUnavailable',
      `Vault "${settings.name}" answered with a compressed body: have the proxy in front of it send it as it is`,
    )
  }
  const isRefusal = (response.statusCode ?? 0) >= 300
  const maxBytes = isRefusal ? MAX_REFUSAL_BYTES : settings.limits.maxBytes
  const whole = await collectBytes(response as AsyncIterable<Buffer>, maxBytes)
  if (whole !== undefined) return whole
  if (isRefusal) return Buffer.alloc(0)
  throw tooLarge(settings)
}

function tooLarge({ name, limits }: VaultSettings): VaultError {
  return new VaultError(
    'PayloadTooLarge',
    `the answer of Vault "${name}" is larger than ${limits.maxBytes} bytes, the source's limits.maxBytes`,
    // Whatever it leased is not known.
    { isUnheard: true },
  )
}

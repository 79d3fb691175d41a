import type { Readable } from 'node:stream'
import { collectBytes } from '../../core/collected-bytes.ts'
import { LatchkeyError } from '../../core/errors.ts'
import { connectionError } from './connection-error.ts'

/**
 * Collects a body into one buffer, which is the caller's to zero; the pieces it came in are zeroed here.
 *
 * Throws: PayloadTooLarge over `maxBytes` · KubeUnavailable · Timeout · the signal's reason.
 */
export async function collectBody(
  body: Readable,
  maxBytes: number,
  signal: AbortSignal,
): Promise<Buffer> {
  try {
    const whole = await collectBytes(body as AsyncIterable<Buffer>, maxBytes)
    if (whole === undefined) throw tooLarge(maxBytes)
    return whole
  } catch (thrown) {
    signal.throwIfAborted()
    throw connectionError(thrown)
  }
}

function tooLarge(maxBytes: number): LatchkeyError {
  return new LatchkeyError(
    'PayloadTooLarge',
    `the API server's answer is larger than ${maxBytes} bytes`,
  )
}

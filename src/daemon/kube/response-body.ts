import type { Readable } from 'node:stream'
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
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      length += chunk.length
      // Leaving the loop destroys the stream, so that the rest is not read.
      if (length > maxBytes) throw tooLarge(maxBytes)
    }
    return joinOffPool(chunks, length)
  } catch (thrown) {
    signal.throwIfAborted()
    throw connectionError(thrown)
  } finally {
    for (const chunk of chunks) chunk.fill(0)
  }
}

function joinOffPool(chunks: readonly Buffer[], length: number): Buffer {
  const whole = Buffer.allocUnsafeSlow(length)
  let offset = 0
  for (const chunk of chunks) offset += chunk.copy(whole, offset)
  return whole
}

function tooLarge(maxBytes: number): LatchkeyError {
  return new LatchkeyError(
    'PayloadTooLarge',
    `the API server's answer is larger than ${maxBytes} bytes`,
  )
}

import type { IncomingMessage } from 'node:http'

// The API server's own limit.
const MAX_BODY_BYTES = 3 * 1024 * 1024

/** The whole body; undefined where it is too large, which is found out by reading it to its end. */
export async function collectRequestBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length <= MAX_BODY_BYTES) chunks.push(chunk)
  }
  return length <= MAX_BODY_BYTES ? Buffer.concat(chunks) : undefined
}

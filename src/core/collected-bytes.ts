/**
 * Collects what comes in pieces into one buffer of its own, which is the caller's to zero; the pieces are zeroed
 * here, whatever happens. undefined where there would be more than `maxBytes`: the rest is then not read.
 *
 * Throws: what the pieces break off with.
 */
export async function collectBytes(
  pieces: AsyncIterable<Buffer>,
  maxBytes: number,
): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of pieces) {
      chunks.push(chunk)
      length += chunk.length
      // Leaving the loop destroys a stream.
      if (length > maxBytes) return undefined
    }
    return joinOffPool(chunks, length)
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

import { LatchkeyError } from '../../core/errors.ts'

const NEWLINE = 0x0a

/**
 * Cuts a stream of bytes into its lines, empty ones left out. What follows the last newline is a line
 * that broke off, and is dropped.
 *
 * Throws: KubeUnavailable where a line is longer than `maxBytes` · what `chunks` throws.
 */
export async function* splitLines(
  chunks: AsyncIterable<Buffer>,
  maxBytes: number,
): AsyncGenerator<Buffer> {
  let pieces: Buffer[] = []
  let length = 0
  for await (const chunk of chunks) {
    let rest = chunk
    for (let end = rest.indexOf(NEWLINE); end >= 0; end = rest.indexOf(NEWLINE)) {
      checkLength(length + end, maxBytes)
      const line = Buffer.concat([...pieces, rest.subarray(0, end)])
      pieces = []
      length = 0
      rest = rest.subarray(end + 1)
      if (line.length > 0) yield line
    }
    length += rest.length
    checkLength(length, maxBytes)
    if (rest.length > 0) pieces.push(rest)
  }
}

function checkLength(length: number, maxBytes: number): void {
  if (length <= maxBytes) return
  throw new LatchkeyError(
    'KubeUnavailable',
    `the API server's watch has a line of more than ${maxBytes} bytes`,
  )
}

import { SecretBytes } from '../../../core/secret-bytes.ts'
import { LatchkeyError } from '../../../core/errors.ts'

/**
 * A JSON object in a buffer that the caller zeroes; a secret in it never becomes a string.
 * Throws: InvalidRequest for a secret that is no printable text, which no token or lease is.
 */
export function jsonBody(fields: Readonly<Record<string, string | number | SecretBytes>>): Buffer {
  const pieces: (Buffer | SecretBytes)[] = []
  let mark = '{'
  for (const [name, value] of Object.entries(fields)) {
    const before = `${mark}${JSON.stringify(name)}:`
    if (value instanceof SecretBytes) {
      refuseUnprintable(name, value)
      pieces.push(Buffer.from(`${before}"`), value)
      mark = '",'
    } else {
      pieces.push(Buffer.from(`${before}${JSON.stringify(value)}`))
      mark = ','
    }
  }
  pieces.push(Buffer.from(mark === '",' ? '"}' : mark === ',' ? '}' : '{}'))
  return join(pieces)
}

function join(pieces: readonly (Buffer | SecretBytes)[]): Buffer {
  const body = Buffer.allocUnsafeSlow(pieces.reduce((sum, { length }) => sum + length, 0))
  let offset = 0
  for (const piece of pieces) {
    if (piece instanceof SecretBytes) piece.use((bytes) => bytes.copy(body, offset))
    else piece.copy(body, offset)
    offset += piece.length
  }
  return body
}

const QUOTE = 0x22
const BACKSLASH = 0x5c

function refuseUnprintable(name: string, secret: SecretBytes): void {
  const isPlain = secret.use((bytes) =>
    bytes.every((byte) => byte > 0x20 && byte < 0x7f && byte !== QUOTE && byte !== BACKSLASH),
  )
  if (!isPlain) {
    throw new LatchkeyError('InvalidRequest', `the ${name} holds characters that none has`)
  }
}

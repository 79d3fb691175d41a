import type { SecretBytes } from './secret-bytes.ts'

const MAX_QUOTED_CHARS = 64
const NOT_PLAIN = /[^\x20-\x7e]/g
// Three base64url parts of which the first is a JSON object: every JWT begins like this.
const JWT = /eyJ[\w-]{4,}\.[\w-]*\.?[\w-]*/g

/**
 * A value that somebody else chose, in quotes, for a sentence of ours: one line of plain characters,
 * shortened where it is long.
 */
export function quoted(text: string): string {
  const short = text.length > MAX_QUOTED_CHARS ? `${text.slice(0, MAX_QUOTED_CHARS)}...` : text
  return JSON.stringify(short).replace(NOT_PLAIN, escapeUnit)
}

/**
 * A sentence that somebody else wrote, for an event or a log: one line of plain characters, at most
 * `maxChars`, with every token struck out that is one of `secrets` or looks like a JWT.
 */
export function cleaned(text: string, maxChars: number, secrets: readonly SecretBytes[]): string {
  let clean = text
  for (const secret of secrets) {
    if (secret.length === 0) continue
    // A server under attack may echo what it was sent.
    clean = secret.use((bytes) => clean.replaceAll(bytes.toString('latin1'), '[token]'))
  }
  clean = clean.replace(JWT, '[token]').replace(/\s+/g, ' ').replace(NOT_PLAIN, escapeUnit).trim()
  return clean.length > maxChars ? `${clean.slice(0, maxChars)}...` : clean
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

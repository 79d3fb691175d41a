import { SecretBytes } from '../../../core/secret-bytes.ts'
import { eachItem, eachMember, JsonError, type JsonSpan } from './json-walk.ts'

/** Far more than a volume may have files; a name costs memory that its body's size does not bound. */
const MAX_MEMBERS = 4096

/**
 * The members of an object by name, one level deep.
 * Throws: JsonError where a name comes twice, for two readers could then read two things.
 */
export function membersOf(
  text: Buffer,
  object: JsonSpan | undefined,
): ReadonlyMap<string, JsonSpan> {
  const members = new Map<string, JsonSpan>()
  if (object?.kind !== 'object') return members
  eachMember(text, object, (name, value) => {
    const plain = textOf(text, name) ?? ''
    if (members.has(plain)) throw new JsonError('a name for the second time', name.start)
    if (members.size >= MAX_MEMBERS) throw new JsonError('too many names', name.start)
    members.set(plain, value)
  })
  return members
}

/**
 * A string's bytes, certificates one below the other where a list holds nothing else, or the JSON text of anything
 * else, in a buffer of its own.
 */
export function secretOf(text: Buffer, span: JsonSpan): SecretBytes {
  if (span.kind === 'string') return new SecretBytes(decodeString(text, span))
  const chain = span.kind === 'array' ? certificatesIn(text, span) : []
  return chain.length > 0
    ? new SecretBytes(decodeLines(text, chain))
    : SecretBytes.copyOf(text.subarray(span.start, span.end))
}

/** For what is no secret: names, ids, Vault's own words. */
export function textOf(text: Buffer, span: JsonSpan | undefined): string | undefined {
  return span?.kind === 'string' ? decodeString(text, span).toString() : undefined
}

export function numberOf(text: Buffer, span: JsonSpan | undefined): number | undefined {
  if (span?.kind !== 'number') return undefined
  return Number(text.toString('latin1', span.start, span.end))
}

export function isTrue(text: Buffer, span: JsonSpan | undefined): boolean {
  return span?.kind === 'boolean' && text[span.start] === 0x74
}

/** The strings of an array, at most `max` of them; anything else in it is left out. */
export function textsOf(text: Buffer, span: JsonSpan | undefined, max: number): readonly string[] {
  const texts: string[] = []
  if (span?.kind !== 'array') return texts
  eachItem(text, span, (item) => {
    const one = texts.length < max ? textOf(text, item) : undefined
    if (one !== undefined) texts.push(one)
  })
  return texts
}

const CERTIFICATE = Buffer.from('"-----BEGIN CERTIFICATE-----')

/** The strings of a list of PEM certificates; none for any other list. */
function certificatesIn(text: Buffer, list: JsonSpan): readonly JsonSpan[] {
  const found: JsonSpan[] = []
  let others = 0
  eachItem(text, list, (item) => {
    const opening = text.subarray(item.start, item.start + CERTIFICATE.length)
    if (others === 0 && opening.equals(CERTIFICATE)) found.push(item)
    else others += 1
  })
  return others === 0 ? found : []
}

const LINE_FEED = 0x0a
const BACKSLASH = 0x5c
const LETTER_U = 0x75
const REPLACEMENT = 0xfffd
const SHORT_ESCAPES: ReadonlyMap<number, number> = new Map([
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
])

// Decoded text is never longer than its JSON, so the bytes are counted first and written once: a buffer
// that was too large would leave a second copy behind.
function decodeString(text: Buffer, { start, end }: JsonSpan): Buffer {
  const length = decodeInto(undefined, text, start + 1, end - 1)
  const decoded = Buffer.allocUnsafeSlow(length)
  decodeInto(decoded, text, start + 1, end - 1)
  return decoded
}

// Written once, as above.
function decodeLines(text: Buffer, strings: readonly JsonSpan[]): Buffer {
  const lengths = strings.map(({ start, end }) => decodeInto(undefined, text, start + 1, end - 1))
  const total = lengths.reduce((sum, length) => sum + length, strings.length - 1)
  const decoded = Buffer.allocUnsafeSlow(total)
  let to = 0
  for (const { start, end } of strings) {
    if (to > 0) to = decoded.writeUInt8(LINE_FEED, to)
    to += decodeInto(decoded.subarray(to), text, start + 1, end - 1)
  }
  return decoded
}

/** Answers how many bytes it wrote, or would have written. */
function decodeInto(target: Buffer | undefined, text: Buffer, start: number, end: number): number {
  let to = 0
  let at = start
  while (at < end) {
    const escape = text.indexOf(BACKSLASH, at)
    const plainEnd = escape === -1 || escape >= end ? end : escape
    target?.set(text.subarray(at, plainEnd), to)
    to += plainEnd - at
    at = plainEnd
    if (at === end) break
    const { point, length } = escapeAt(text, at, end)
    to += writeUtf8(target, point, to)
    at += length
  }
  return to
}

interface Escape {
  readonly point: number
  /** Of the escape, or of both where two make one character. */
  readonly length: number
}

function escapeAt(text: Buffer, at: number, end: number): Escape {
  const letter = text[at + 1] ?? 0
  if (letter !== LETTER_U) return { point: SHORT_ESCAPES.get(letter) ?? letter, length: 2 }
  const unit = unitAt(text, at)
  if (unit < 0xd800 || unit > 0xdfff) return { point: unit, length: 6 }
  const next = at + 6
  const isPair =
    unit < 0xdc00 && next + 6 <= end && text[next] === BACKSLASH && text[next + 1] === LETTER_U
  const low = isPair ? unitAt(text, next) : 0
  if (low >= 0xdc00 && low <= 0xdfff) {
    return { point: 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00), length: 12 }
  }
  // Half of a pair is no character; Node writes the same for it.
  return { point: REPLACEMENT, length: 6 }
}

function unitAt(text: Buffer, escape: number): number {
  return parseInt(text.toString('latin1', escape + 2, escape + 6), 16)
}

function writeUtf8(target: Buffer | undefined, point: number, to: number): number {
  const length = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
  if (target === undefined) return length
  if (length === 1) {
    target[to] = point
    return length
  }
  for (let index = length - 1; index > 0; index -= 1) {
    target[to + index] = 0x80 | ((point >> (6 * (length - 1 - index))) & 0x3f)
  }
  target[to] = ((0xf00 >> length) & 0xff) | (point >> (6 * (length - 1)))
  return length
}

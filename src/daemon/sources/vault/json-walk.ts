import { isUtf8 } from 'node:buffer'

/** Where a JSON value lies in its text: from `start` up to, not including, `end`. */
export interface JsonSpan {
  readonly kind: 'object' | 'array' | 'string' | 'number' | 'boolean' | 'null'
  readonly start: number
  readonly end: number
}

/** The text is no JSON, or none that we read. Its message names a place, never what stands there. */
export class JsonError extends Error {
  constructor(what: string, at: number) {
    super(`${what} at byte ${at}`)
    this.name = 'JsonError'
  }
}

/** Deeper than any secret is nested; without it, a body of brackets would exhaust the stack. */
const MAX_DEPTH = 64

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const COMMA = 0x2c
const COLON = 0x3a
const LETTER_U = 0x75

/**
 * Checks a whole JSON text (RFC 8259) and answers its one value. Nothing is decoded, so that a value that
 * stands in the text never becomes a string.
 *
 * Throws: JsonError.
 */
export function walkJson(text: Buffer): JsonSpan {
  if (!isUtf8(text)) throw new JsonError('bytes that are no UTF-8', 0)
  const span = valueAt(text, skipSpace(text, 0), 0)
  const rest = skipSpace(text, span.end)
  if (rest !== text.length) throw new JsonError('something after the end', rest)
  return span
}

/** Called with each member's name (its span, quotes included) and value. */
export type OnMember = (name: JsonSpan, value: JsonSpan) => void
export type OnItem = (value: JsonSpan) => void

/** The members of an object that `walkJson` has been through, in their order. */
export function eachMember(text: Buffer, object: JsonSpan, onMember: OnMember): void {
  objectAt(text, object.start, 0, onMember)
}

/** The items of an array that `walkJson` has been through. */
export function eachItem(text: Buffer, array: JsonSpan, onItem: OnItem): void {
  arrayAt(text, array.start, 0, onItem)
}

function valueAt(text: Buffer, start: number, depth: number): JsonSpan {
  if (depth > MAX_DEPTH) throw new JsonError('a value nested too deep', start)
  switch (text[start]) {
    case OPEN_BRACE:
      return { kind: 'object', start, end: objectAt(text, start, depth) }
    case OPEN_BRACKET:
      return { kind: 'array', start, end: arrayAt(text, start, depth) }
    case QUOTE:
      return { kind: 'string', start, end: stringAt(text, start) }
    case 0x74:
      return { kind: 'boolean', start, end: wordAt(text, start, 'true') }
    case 0x66:
      return { kind: 'boolean', start, end: wordAt(text, start, 'false') }
    case 0x6e:
      return { kind: 'null', start, end: wordAt(text, start, 'null') }
    default:
      return { kind: 'number', start, end: numberAt(text, start) }
  }
}

function objectAt(text: Buffer, start: number, depth: number, onMember?: OnMember): number {
  let at = skipSpace(text, start + 1)
  if (text[at] === CLOSE_BRACE) return at + 1
  for (;;) {
    if (text[at] !== QUOTE) throw new JsonError('no name', at)
    const name: JsonSpan = { kind: 'string', start: at, end: stringAt(text, at) }
    at = skipSpace(text, name.end)
    if (text[at] !== COLON) throw new JsonError('no colon', at)
    const value = valueAt(text, skipSpace(text, at + 1), depth + 1)
    onMember?.(name, value)
    at = skipSpace(text, value.end)
    if (text[at] === CLOSE_BRACE) return at + 1
    if (text[at] !== COMMA) throw new JsonError('no comma', at)
    at = skipSpace(text, at + 1)
  }
}

function arrayAt(text: Buffer, start: number, depth: number, onItem?: OnItem): number {
  let at = skipSpace(text, start + 1)
  if (text[at] === CLOSE_BRACKET) return at + 1
  for (;;) {
    const value = valueAt(text, at, depth + 1)
    onItem?.(value)
    at = skipSpace(text, value.end)
    if (text[at] === CLOSE_BRACKET) return at + 1
    if (text[at] !== COMMA) throw new JsonError('no comma', at)
    at = skipSpace(text, at + 1)
  }
}

function stringAt(text: Buffer, start: number): number {
  let at = start + 1
  for (;;) {
    const byte = text[at]
    if (byte === undefined) throw new JsonError('a string without end', start)
    if (byte === QUOTE) return at + 1
    if (byte < 0x20) throw new JsonError('a control character', at)
    at += byte === BACKSLASH ? escapeLength(text, at) : 1
  }
}

const SINGLE_ESCAPES: ReadonlySet<number> = new Set(Buffer.from('"\\/bfnrt'))

function escapeLength(text: Buffer, at: number): number {
  const escape = text[at + 1]
  if (escape !== undefined && SINGLE_ESCAPES.has(escape)) return 2
  if (escape !== LETTER_U) throw new JsonError('an unknown escape', at)
  for (let digit = at + 2; digit < at + 6; digit += 1) {
    if (!isHexDigit(text[digit])) throw new JsonError('an unknown escape', at)
  }
  return 6
}

function numberAt(text: Buffer, start: number): number {
  let at = text[start] === 0x2d ? start + 1 : start
  // No digit may follow a leading zero.
  at = text[at] === 0x30 ? at + 1 : digitsAt(text, at)
  if (text[at] === 0x2e) at = digitsAt(text, at + 1)
  if (text[at] === 0x65 || text[at] === 0x45) {
    const isSigned = text[at + 1] === 0x2b || text[at + 1] === 0x2d
    at = digitsAt(text, isSigned ? at + 2 : at + 1)
  }
  return at
}

function digitsAt(text: Buffer, start: number): number {
  let at = start
  while (isDigit(text[at])) at += 1
  if (at === start) throw new JsonError('no value', start)
  return at
}

function wordAt(text: Buffer, start: number, word: string): number {
  const end = start + word.length
  if (text.toString('latin1', start, end) !== word) throw new JsonError('no value', start)
  return end
}

function skipSpace(text: Buffer, start: number): number {
  let at = start
  while (isSpace(text[at])) at += 1
  return at
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39
}

function isHexDigit(byte: number | undefined): boolean {
  if (isDigit(byte)) return true
  const lower = (byte ?? 0) | 0x20
  return lower >= 0x61 && lower <= 0x66
}

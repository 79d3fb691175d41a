import type { Chance } from '../soak/chance.ts'

/** What has fooled parsers before. */
const WORDS: readonly (string | Buffer)[] = [
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'then', 'length'],
  ...['null', 'true', 'NaN', '-0', '1e999', '-1', '0x10', '0400', '4294967296', '9007199254740993'],
  ...['18446744073709551616', '{}', '[]', '""', '{"a":{}}', '[[]]', '{"__proto__":{"x":1}}'],
  ...['..', '../', '../../etc/passwd', '/', '//', './', '..data', '%2e%2e%2f', '..\\', 'a/../b'],
  ...[
    '\0',
    '\n',
    '\r\n',
    '\u2028',
    '\u202e',
    '\u200b',
    '\ufeff',
    '\u0130',
    '．．／',
    'ａ',
    'e\u0301',
    '💥',
  ],
  ...[
    '\u001b[31m',
    '${7*7}',
    '{{x}}',
    '%s%n',
    "'",
    '"',
    '\\',
    '\\u0000',
    '\\ud800',
    '<<',
    '&a',
    '*a',
  ],
  ...['!!js/function', '!x', '---', '...', '- ', ': ', '#', '|', '>', '? ', '\t', ' '],
  // No UTF-8: a lone surrogate, an overlong slash, a lone continuation, what no text begins with.
  Buffer.from([0xed, 0xa0, 0x80]),
  Buffer.from([0xc0, 0xaf]),
  Buffer.from([0x80]),
  Buffer.from([0xff, 0xfe]),
  // Varints that end late or never.
  Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]),
  Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
  Buffer.alloc(12, 0xff),
]
const EDGES = [0x00, 0x01, 0x0a, 0x20, 0x22, 0x2f, 0x7f, 0x80, 0xc0, 0xff]
const NUMBERS = ['0', '-1', '1e999', '4294967295', '4294967296', '9007199254740992', '0.1', '00']
const NESTED = [
  '[',
  '{',
  '{"a":',
  '[{"a":',
  '- ',
  '- - ',
  '? ',
  '"',
  "'",
  '\\',
  ',',
  'a: ',
  '&',
  '\n',
]

/** Now and then, so that most inputs are cheap. */
const HUGE = 0.002
const MAX_BYTES = 320 * 1024

type Mutation = (input: Buffer, chance: Chance, others: readonly Buffer[]) => Buffer

const MUTATIONS: readonly Mutation[] = [
  (input, chance) => {
    if (input.length === 0) return input
    const copy = Buffer.from(input)
    const at = chance.between(0, copy.length - 1)
    copy[at] = (copy[at] ?? 0) ^ (1 << chance.between(0, 7))
    return copy
  },
  (input, chance) => {
    if (input.length === 0) return input
    const copy = Buffer.from(input)
    copy[chance.between(0, copy.length - 1)] = chance.pick(EDGES)
    return copy
  },
  (input, chance) => input.subarray(0, chance.between(0, input.length)),
  (input, chance) => input.subarray(chance.between(0, input.length)),
  (input, chance) => {
    const [from, to] = stretch(input, chance)
    return Buffer.concat([input.subarray(0, from), input.subarray(to)])
  },
  (input, chance) => {
    const [from, to] = stretch(input, chance)
    return put(input, from, input.subarray(from, to))
  },
  (input, chance) => {
    const bytes = Buffer.from(
      Array.from({ length: chance.between(1, 8) }, () => chance.between(0, 255)),
    )
    return put(input, chance.between(0, input.length), bytes)
  },
  // Another input's end after this one's beginning.
  (input, chance, others) => {
    const other = chance.pick(others)
    return Buffer.concat([
      input.subarray(0, chance.between(0, input.length)),
      other.subarray(chance.between(0, other.length)),
    ])
  },
  // Another number, or another text, at the place of one.
  (input, chance) => replaceToken(input, /-?\d+(\.\d+)?/g, chance.pick(NUMBERS), chance),
  (input, chance) =>
    replaceToken(input, /"[^"]*"/g, chance.pick(['null', '[]', '{}', '1', 'true', '""']), chance),
]

/** An input made of a lane's seeds, with one to six things done to it. */
export function mutate(
  chance: Chance,
  seeds: readonly Buffer[],
  words: readonly (string | Buffer)[],
): Buffer {
  let input = chance.pick(seeds)
  // Mostly little: what is bent in one place gets furthest.
  for (let left = Number(chance.weigh({ 1: 50, 2: 25, 3: 15, 6: 10 })); left > 0; left -= 1) {
    input = chance.isHit(0.35)
      ? putWord(input, chance, words)
      : chance.pick(MUTATIONS)(input, chance, seeds)
  }
  if (chance.isHit(HUGE)) input = swell(input, chance)
  return Buffer.from(input.subarray(0, MAX_BYTES))
}

function putWord(input: Buffer, chance: Chance, words: readonly (string | Buffer)[]): Buffer {
  const word = chance.pick(words.length > 0 && chance.isHit(0.5) ? words : WORDS)
  const bytes = Buffer.from(word as string)
  const at = chance.between(0, input.length)
  if (chance.isHit(0.5)) return put(input, at, bytes)
  return Buffer.concat([input.subarray(0, at), bytes, input.subarray(at + bytes.length)])
}

/** Much of the same: for what grows faster than its input. */
function swell(input: Buffer, chance: Chance): Buffer {
  const [from, to] = stretch(input, chance)
  const piece = chance.isHit(0.5) ? Buffer.from(chance.pick(NESTED)) : input.subarray(from, to)
  if (piece.length === 0) return input
  const times = Math.min(chance.pick([100, 1_000, 10_000, 100_000]), MAX_BYTES / piece.length)
  return put(input, from, Buffer.alloc(piece.length * Math.floor(times), piece))
}

function replaceToken(input: Buffer, pattern: RegExp, by: string, chance: Chance): Buffer {
  const text = input.toString('latin1')
  const found = [...text.matchAll(pattern)]
  if (found.length === 0) return input
  const { index, 0: token } = chance.pick(found)
  return Buffer.from(text.slice(0, index) + by + text.slice(index + token.length), 'latin1')
}

function put(input: Buffer, at: number, bytes: Buffer): Buffer {
  return Buffer.concat([input.subarray(0, at), bytes, input.subarray(at)])
}

function stretch(input: Buffer, chance: Chance): readonly [number, number] {
  const from = chance.between(0, input.length)
  return [from, Math.min(input.length, from + chance.between(0, chance.isHit(0.2) ? 4_096 : 16))]
}

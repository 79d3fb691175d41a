import { isMap, isScalar } from 'yaml'
import { parseDurationMs } from '../../core/duration.ts'
import { LatchkeyError } from '../../core/errors.ts'
import { quoted } from '../../core/foreign-text.ts'
import type { Grammar } from './grammar.ts'
import type { Args } from './item.ts'

/*
 * What may stand behind each word of an item. `field` names it in errors as it was written.
 * All throw InvalidRequest.
 */

const DEFAULT_MODE = 0o644
const DEFAULT_SOURCE = 'kubernetes'
const DEFAULT_MAX_AGE_MS = 60 * 60_000

export function parseFrom(from: unknown, field: string, sourceNames: readonly string[]): string {
  const name = from ?? DEFAULT_SOURCE
  if (typeof name === 'string' && sourceNames.includes(name)) return name
  return refuse(field, `must be one of the declared sources: ${sourceNames.join(', ')}`)
}

export function parseSecret(secret: unknown, field: string, { checkSecret }: Grammar): string {
  if (secret === undefined) return refuse(field, 'is missing')
  const name = parseText(secret, field)
  const wrong = checkSecret(name)
  return wrong === undefined ? name : refuse(field, `${quoted(name)} ${wrong}`)
}

/** A word that may be left out. */
export function parseWord(word: unknown, field: string): string | undefined {
  return word === undefined ? undefined : parseText(word, field)
}

export function parseVersion(version: unknown, field: string): string | undefined {
  if (typeof version === 'number' && Number.isSafeInteger(version)) return String(version)
  return parseWord(version, field)
}

export function parseArgs(args: unknown, field: string): Args | undefined {
  if (args === undefined) return undefined
  if (!isMap(args)) return refuse(field, 'must be a map such as { common_name: api.example }')
  const pairs = args.items.map(({ key, value }) => {
    const name: unknown = isScalar(key) ? key.value : undefined
    const plain: unknown = isScalar(value) ? value.value : undefined
    const isPlain = ['string', 'number', 'boolean'].includes(typeof plain)
    if (typeof name !== 'string' || !isPlain) {
      return refuse(field, 'may hold words with a text, a number, true or false behind each')
    }
    return [name, plain as string | number | boolean] as const
  })
  if (new Set(pairs.map(([name]) => name)).size < pairs.length) refuse(field, 'has a word twice')
  return Object.fromEntries(pairs)
}

export function parseMode(mode: unknown, field: string): number {
  if (mode === undefined) return DEFAULT_MODE
  // YAML 1.1 and 1.2 disagree on what 0400 is as a number; as a string it is one thing.
  if (typeof mode === 'number') return refuse(field, 'must be in quotes, such as "0400"')
  if (typeof mode === 'string' && /^0?[0-7]{3}$/.test(mode)) return Number.parseInt(mode, 8)
  return refuse(field, 'must be an octal number in quotes, such as "0400", "0777" at most')
}

export function parseOptional(optional: unknown, field: string): boolean {
  if (optional === undefined) return false
  if (typeof optional === 'boolean') return optional
  return refuse(field, 'must be true or false')
}

/** Between two looks at a secret that cannot be watched, in milliseconds; undefined where it is not said. */
export function parseRefresh(refresh: unknown, field: string): number | undefined {
  return parseDuration(refresh, field, '1s', '24h', '5m')
}

/** How old a value may be that is served while its source is away, in milliseconds; undefined: none is. */
export function parseOutage(onOutage: unknown, maxAge: unknown, field: string): number | undefined {
  if (onOutage === undefined) {
    if (maxAge === undefined) return undefined
    return refuse(`${field}.maxAge`, 'needs onOutage: serve-last beside it')
  }
  if (onOutage !== 'serve-last') {
    return refuse(`${field}.onOutage`, 'must be serve-last, or be left out')
  }
  return parseDuration(maxAge, `${field}.maxAge`, '1m', '24h', '1h') ?? DEFAULT_MAX_AGE_MS
}

function parseDuration(
  text: unknown,
  field: string,
  from: string,
  to: string,
  example: string,
): number | undefined {
  if (text === undefined) return undefined
  const ms = typeof text === 'string' ? parseDurationMs(text) : undefined
  const [least = 0, most = 0] = [parseDurationMs(from), parseDurationMs(to)]
  if (ms !== undefined && ms >= least && ms <= most) return ms
  return refuse(
    field,
    `must be a duration with its unit, from ${from} to ${to}, such as ${example}`,
  )
}

export function parseText(text: unknown, field: string): string {
  if (text === null || text === '') return refuse(field, 'is empty')
  if (typeof text === 'string') return text
  if (typeof text === 'object') return refuse(field, 'must be a word, not a list or a map')
  return refuse(field, 'must be in quotes: YAML does not read it as a text')
}

/** Throws: InvalidRequest, always. */
export function refuse(field: string, why: string): never {
  throw new LatchkeyError('InvalidRequest', `${field}: ${why}`)
}

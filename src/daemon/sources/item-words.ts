import { parseDurationMs } from '../../core/duration.ts'
import { LatchkeyError } from '../../core/errors.ts'
import { isDnsSubdomain, isSecretKey } from '../../core/kube-names.ts'
import { parseSafePath } from '../../core/safe-path.ts'
import { quoted } from '../kube/foreign-text.ts'

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

export function parseSecretName(secret: unknown, field: string): string {
  if (secret === undefined) return refuse(field, 'is missing')
  const name = parseText(secret, field)
  if (isDnsSubdomain(name)) return name
  const rule = 'lower case letters, digits, "-" and ".", 253 at most'
  return refuse(field, `${quoted(name)} is not the name of a Secret (${rule})`)
}

export function parseKey(key: unknown, field: string): string | undefined {
  if (key === undefined) return undefined
  const name = parseText(key, field)
  if (isSecretKey(name)) return name
  const rule = 'letters, digits, "-", "_" and ".", 253 at most, not beginning with ".."'
  return refuse(field, `${quoted(name)} is not a key of a Secret (${rule})`)
}

export function parsePath(path: unknown, field: string): string | undefined {
  if (path === undefined) return undefined
  const text = parseText(path, field)
  parseSafePath(text, field)
  return text
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

function parseText(text: unknown, field: string): string {
  if (text === null || text === '') return refuse(field, 'is empty')
  if (typeof text === 'string') return text
  if (typeof text === 'object') return refuse(field, 'must be a word, not a list or a map')
  return refuse(field, 'must be in quotes: YAML does not read it as a text')
}

/** Throws: InvalidRequest, always. */
export function refuse(field: string, why: string): never {
  throw new LatchkeyError('InvalidRequest', `${field}: ${why}`)
}

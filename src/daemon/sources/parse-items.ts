import { parseDocument } from 'yaml'
import { LatchkeyError } from '../../core/errors.ts'
import { isDnsSubdomain, isSecretKey } from '../../core/kube-names.ts'
import { nearestWord } from '../../core/nearest-word.ts'
import { parseSafePath } from '../../core/safe-path.ts'
import type { Item } from './item.ts'

const ATTRIBUTES = ['secret', 'items'] as const
const WORDS = ['from', 'secret', 'key', 'path', 'mode', 'optional'] as const
/** Words that design and docs know and this version does not build yet: said, instead of "unknown". */
const LATER = ['version', 'dir', 'expand', 'owner', 'format', 'bundle', 'refresh'] as const

const MAX_ITEMS = 256
const MAX_YAML_CHARS = 64 * 1024
const DEFAULT_MODE = 0o644
const DEFAULT_SOURCE = 'kubernetes'

/**
 * Reads what a pod's author wrote in `volumeAttributes`: `secret: NAME`, or a YAML list in `items`.
 *
 * Throws: InvalidRequest, naming the field as it was written.
 */
export function parseItems(
  attributes: ReadonlyMap<string, string>,
  sourceNames: readonly string[],
): readonly Item[] {
  for (const word of attributes.keys()) checkWord(word, ATTRIBUTES, 'volumeAttributes')
  const secret = attributes.get('secret')
  const items = attributes.get('items')
  if (secret !== undefined && items !== undefined) {
    return refuse('volumeAttributes', 'has both secret and items; one of them is meant')
  }
  if (secret !== undefined) return [wholeSecret(secret)]
  if (items !== undefined) return parseList(items, sourceNames)
  return refuse('volumeAttributes', 'needs secret (a Secret’s name) or items (a list)')
}

function wholeSecret(secret: string): Item {
  return {
    from: DEFAULT_SOURCE,
    secret: parseSecretName(secret, 'volumeAttributes.secret'),
    key: undefined,
    path: undefined,
    mode: DEFAULT_MODE,
    optional: false,
  }
}

function parseList(yaml: string, sourceNames: readonly string[]): readonly Item[] {
  const field = 'volumeAttributes.items'
  const list = parseYaml(yaml, field)
  if (!Array.isArray(list)) return refuse(field, 'must be a YAML list')
  if (list.length === 0) return refuse(field, 'is empty')
  if (list.length > MAX_ITEMS) return refuse(field, `has more than ${MAX_ITEMS} entries`)
  return list.map((entry: unknown, index) => parseItem(entry, `${field}[${index}]`, sourceNames))
}

function parseYaml(yaml: string, field: string): unknown {
  if (yaml.length > MAX_YAML_CHARS) refuse(field, `is longer than ${MAX_YAML_CHARS} characters`)
  // Plain data only: an alias or a tag can say more than it shows.
  const document = parseDocument(yaml, { schema: 'core', uniqueKeys: true, merge: false })
  const [error] = [...document.errors, ...document.warnings]
  if (error !== undefined) {
    const [start] = error.linePos ?? []
    const where = start === undefined ? '' : ` in line ${start.line}, column ${start.col}`
    return refuse(field, `is not valid YAML${where} (${error.code})`)
  }
  try {
    return document.toJS({ maxAliasCount: 0 })
  } catch {
    return refuse(field, 'must not use aliases')
  }
}

function parseItem(entry: unknown, field: string, sourceNames: readonly string[]): Item {
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    return refuse(field, 'must be a map such as { secret: NAME, key: KEY }')
  }
  const words = new Map<string, unknown>(Object.entries(entry))
  for (const word of words.keys()) checkWord(word, WORDS, field)
  const key = parseKey(words.get('key'), `${field}.key`)
  const path = parsePath(words.get('path'), `${field}.path`)
  if (path !== undefined && key === undefined) refuse(`${field}.path`, 'needs key beside it')
  return {
    from: parseFrom(words.get('from'), `${field}.from`, sourceNames),
    secret: parseSecretName(words.get('secret'), `${field}.secret`),
    key,
    path,
    mode: parseMode(words.get('mode'), `${field}.mode`),
    optional: parseOptional(words.get('optional'), `${field}.optional`),
  }
}

function parseFrom(from: unknown, field: string, sourceNames: readonly string[]): string {
  if (from === undefined) return DEFAULT_SOURCE
  if (typeof from === 'string' && sourceNames.includes(from)) return from
  return refuse(field, `must be one of the declared sources: ${sourceNames.join(', ')}`)
}

function parseSecretName(secret: unknown, field: string): string {
  if (secret === undefined || secret === '') return refuse(field, 'is missing')
  if (typeof secret === 'string' && isDnsSubdomain(secret)) return secret
  return refuse(field, 'is not the name of a Secret (lower case letters, digits, "-" and ".")')
}

function parseKey(key: unknown, field: string): string | undefined {
  if (key === undefined) return undefined
  if (typeof key === 'string' && isSecretKey(key)) return key
  return refuse(field, 'is not a key of a Secret (letters, digits, "-", "_" and "."; quote numbers)')
}

function parsePath(path: unknown, field: string): string | undefined {
  if (path === undefined) return undefined
  if (typeof path !== 'string') return refuse(field, 'must be a string; quote numbers')
  parseSafePath(path, field)
  return path
}

function parseMode(mode: unknown, field: string): number {
  if (mode === undefined) return DEFAULT_MODE
  // YAML 1.1 and 1.2 disagree on what 0400 is as a number; as a string it is one thing.
  if (typeof mode === 'string' && /^0?[0-7]{3}$/.test(mode)) return Number.parseInt(mode, 8)
  return refuse(field, 'must be a quoted octal such as "0400", 0777 at most')
}

function parseOptional(optional: unknown, field: string): boolean {
  if (optional === undefined) return false
  if (typeof optional === 'boolean') return optional
  return refuse(field, 'must be true or false')
}

function checkWord(word: string, known: readonly string[], field: string): void {
  if (known.includes(word)) return
  if ((LATER as readonly string[]).includes(word)) {
    refuse(field, `knows no "${word}" in this version; known are ${known.join(', ')}`)
  }
  const near = nearestWord(word, known)
  const hint = near === undefined ? `known are ${known.join(', ')}` : `did you mean "${near}"?`
  refuse(field, `has an unknown word ${JSON.stringify(word.slice(0, 64))}; ${hint}`)
}

function refuse(field: string, why: string): never {
  throw new LatchkeyError('InvalidRequest', `${field} ${why}`)
}

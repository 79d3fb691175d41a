import { LatchkeyError } from '../../core/errors.ts'
import { isDnsSubdomain, isSecretKey } from '../../core/kube-names.ts'
import { nearestWord } from '../../core/nearest-word.ts'
import { parseSafePath } from '../../core/safe-path.ts'
import { quoted } from '../kube/foreign-text.ts'
import { refuseCollisions } from './collisions.ts'
import { readItemList, type Words } from './item-list.ts'
import type { Item } from './item.ts'
import { secretKeyOf, type SecretKey } from './secret-key.ts'

const ATTRIBUTES = ['secret', 'items'] as const
const WORDS = ['from', 'secret', 'key', 'path', 'mode', 'optional'] as const
/** Words of the documentation that this version does not build yet: said, instead of "unknown". */
const LATER = ['version', 'dir', 'expand', 'owner', 'format', 'bundle', 'refresh'] as const

const LIST = 'volumeAttributes.items'
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
  for (const word of attributes.keys()) checkAttribute(word)
  const secret = attributes.get('secret')
  const list = attributes.get('items')
  if (secret !== undefined && list !== undefined) {
    return refuse('volumeAttributes', 'has both secret and items; one of them is meant')
  }
  if (secret !== undefined) {
    const words = new Map([['secret', secret]])
    return [parseItem(words, 'volumeAttributes', sourceNames)]
  }
  if (list === undefined) {
    return refuse('volumeAttributes', 'needs secret (the name of a Secret) or items (a list)')
  }
  const items = readItemList(list, LIST).map((words, index) =>
    parseItem(words, `${LIST}[${index}]`, sourceNames),
  )
  refuseKnownCollisions(items)
  return items
}

function parseItem(words: Words, field: string, sourceNames: readonly string[]): Item {
  for (const word of words.keys()) checkWord(word, WORDS, field)
  const key = parseKey(words.get('key'), `${field}.key`)
  const path = parsePath(words.get('path'), `${field}.path`)
  if (path !== undefined && key === undefined) {
    refuse(`${field}.path`, 'needs key beside it: a path is for one entry of the secret')
  }
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
  const name = from ?? DEFAULT_SOURCE
  if (typeof name === 'string' && sourceNames.includes(name)) return name
  return refuse(field, `must be one of the declared sources: ${sourceNames.join(', ')}`)
}

function parseSecretName(secret: unknown, field: string): string {
  if (secret === undefined) return refuse(field, 'is missing')
  const name = parseText(secret, field)
  if (isDnsSubdomain(name)) return name
  const rule = 'lower case letters, digits, "-" and ".", 253 at most'
  return refuse(field, `${quoted(name)} is not the name of a Secret (${rule})`)
}

function parseKey(key: unknown, field: string): string | undefined {
  if (key === undefined) return undefined
  const name = parseText(key, field)
  if (isSecretKey(name)) return name
  const rule = 'letters, digits, "-", "_" and ".", 253 at most, not beginning with ".."'
  return refuse(field, `${quoted(name)} is not a key of a Secret (${rule})`)
}

function parsePath(path: unknown, field: string): string | undefined {
  if (path === undefined) return undefined
  const text = parseText(path, field)
  parseSafePath(text, field)
  return text
}

function parseMode(mode: unknown, field: string): number {
  if (mode === undefined) return DEFAULT_MODE
  // YAML 1.1 and 1.2 disagree on what 0400 is as a number; as a string it is one thing.
  if (typeof mode === 'number') return refuse(field, 'must be in quotes, such as "0400"')
  if (typeof mode === 'string' && /^0?[0-7]{3}$/.test(mode)) return Number.parseInt(mode, 8)
  return refuse(field, 'must be an octal number in quotes, such as "0400", "0777" at most')
}

function parseOptional(optional: unknown, field: string): boolean {
  if (optional === undefined) return false
  if (typeof optional === 'boolean') return optional
  return refuse(field, 'must be true or false')
}

function parseText(text: unknown, field: string): string {
  if (text === null || text === '') return refuse(field, 'is empty')
  if (typeof text === 'string') return text
  if (typeof text === 'object') return refuse(field, 'must be a word, not a list or a map')
  return refuse(field, 'must be in quotes: YAML does not read it as a text')
}

function checkAttribute(word: string): void {
  if ((WORDS as readonly string[]).includes(word) && word !== 'secret') {
    refuse('volumeAttributes', `${word} belongs into items: { secret: NAME, ${word}: ... }`)
  }
  checkWord(word, ATTRIBUTES, 'volumeAttributes')
}

function checkWord(word: string, known: readonly string[], field: string): void {
  if (known.includes(word)) return
  if ((LATER as readonly string[]).includes(word)) {
    refuse(field, `this version does not know "${word}" yet; known are ${known.join(', ')}`)
  }
  const near = nearestWord(word, known)
  const hint = near === undefined ? `known are ${known.join(', ')}` : `did you mean "${near}"?`
  refuse(field, `unknown word ${quoted(word)}, ${hint}`)
}

/** What the list alone shows; the names that a whole secret brings are only known once it is fetched. */
function refuseKnownCollisions(items: readonly Item[]): void {
  const whole = new Map<SecretKey, number>()
  for (const [index, item] of items.entries()) {
    if (item.key !== undefined) continue
    const other = whole.get(secretKeyOf(item))
    if (other !== undefined) {
      refuse(`${LIST}[${other}] and items[${index}]`, `both take all of secret "${item.secret}"`)
    }
    whole.set(secretKeyOf(item), index)
  }
  refuseCollisions(
    items.flatMap((item, index) =>
      item.key === undefined ? [] : [{ item: index, path: item.path ?? item.key }],
    ),
  )
}

function refuse(field: string, why: string): never {
  throw new LatchkeyError('InvalidRequest', `${field}: ${why}`)
}

import { nearestWord } from '../../core/nearest-word.ts'
import { quoted } from '../kube/foreign-text.ts'
import { refuseCollisions } from './collisions.ts'
import { readItemList, type Words } from './item-list.ts'
import {
  parseFrom,
  parseKey,
  parseMode,
  parseOptional,
  parseOutage,
  parsePath,
  parseRefresh,
  parseSecretName,
  refuse,
} from './item-words.ts'
import type { Item } from './item.ts'
import { secretKeyOf, type SecretKey } from './secret-key.ts'

/** Words of an item that may also stand beside `secret:`, where there is no list. */
const SHORT = ['secret', 'refresh', 'onOutage', 'maxAge'] as const
const ATTRIBUTES = [...SHORT, 'items'] as const
const WORDS = ['from', 'key', 'path', 'mode', 'optional', ...SHORT] as const
/** Words of the documentation that this version does not build yet: said, instead of "unknown". */
const LATER = ['version', 'dir', 'expand', 'owner', 'format', 'bundle'] as const

const LIST = 'volumeAttributes.items'

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
  if (secret !== undefined) return [parseItem(attributes, 'volumeAttributes', sourceNames)]
  if (list === undefined) {
    return refuse('volumeAttributes', 'needs secret (the name of a Secret) or items (a list)')
  }
  for (const word of attributes.keys()) refuseBeside(word)
  const items = readItemList(list, LIST).map((words, index) =>
    parseItem(words, `${LIST}[${index}]`, sourceNames),
  )
  refuseKnownCollisions(items)
  refuseTwoOutages(items)
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
    refreshMs: parseRefresh(words.get('refresh'), `${field}.refresh`),
    lastForMs: parseOutage(words.get('onOutage'), words.get('maxAge'), field),
  }
}

function checkAttribute(word: string): void {
  if (!(ATTRIBUTES as readonly string[]).includes(word)) refuseBeside(word)
  checkWord(word, ATTRIBUTES, 'volumeAttributes')
}

/** Refuses a word that only an item has, written outside of the list. */
function refuseBeside(word: string): void {
  if (!(WORDS as readonly string[]).includes(word)) return
  refuse('volumeAttributes', `${word} belongs into items: { secret: NAME, ${word}: ... }`)
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

/** A secret is fetched as a whole: one item's word would silently count for the other's, or not at all. */
function refuseTwoOutages(items: readonly Item[]): void {
  const firsts = new Map<SecretKey, number>()
  for (const [index, item] of items.entries()) {
    const first = firsts.get(secretKeyOf(item)) ?? index
    firsts.set(secretKeyOf(item), first)
    if (items[first]?.lastForMs === item.lastForMs) continue
    const why = `name the same secret "${item.secret}"; onOutage and maxAge must be the same for both`
    refuse(`${LIST}[${first}] and items[${index}]`, why)
  }
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

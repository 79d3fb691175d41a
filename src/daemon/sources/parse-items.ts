import { quoted } from '../../core/foreign-text.ts'
import { nearestWord } from '../../core/nearest-word.ts'
import { refuseCollisions } from './collisions.ts'
import { readItemList, type Words } from './item-list.ts'
import { KUBERNETES_GRAMMAR, type Grammars } from './grammar.ts'
import { parsePlace } from './item-place.ts'
import {
  parseArgs,
  parseFrom,
  parseMode,
  parseOptional,
  parseOutage,
  parseRefresh,
  parseSecret,
  parseVersion,
  parseWord,
  refuse,
} from './item-words.ts'
import type { Item } from './item.ts'
import { secretKeyOf, type SecretKey } from './secret-key.ts'

/** Words of an item that may also stand beside `secret:`, where there is no list. */
const SHORT = ['secret', 'refresh', 'onOutage', 'maxAge'] as const
const ATTRIBUTES = [...SHORT, 'items'] as const
const COMMON = ['from', 'key', 'path', 'dir', 'mode', 'optional', ...SHORT] as const
const OF_SOME_SOURCES = ['version', 'role', 'args', 'format'] as const
/** Words of the documentation that this version does not build yet: said, instead of "unknown". */
const LATER = ['expand', 'owner', 'bundle'] as const

const LIST = 'volumeAttributes.items'

/**
 * Reads what a pod's author wrote in `volumeAttributes`: `secret: NAME`, or a YAML list in `items`.
 *
 * Throws: InvalidRequest, naming the field as it was written.
 */
export function parseItems(
  attributes: ReadonlyMap<string, string>,
  grammars: Grammars,
): readonly Item[] {
  for (const word of attributes.keys()) checkAttribute(word)
  const secret = attributes.get('secret')
  const list = attributes.get('items')
  if (secret !== undefined && list !== undefined) {
    return refuse('volumeAttributes', 'has both secret and items; one of them is meant')
  }
  if (secret !== undefined) return [parseItem(attributes, 'volumeAttributes', grammars)]
  if (list === undefined) {
    return refuse('volumeAttributes', 'needs secret (the name of a Secret) or items (a list)')
  }
  for (const word of attributes.keys()) refuseBeside(word)
  const items = readItemList(list, LIST).map((words, index) =>
    parseItem(words, `${LIST}[${index}]`, grammars),
  )
  refuseKnownCollisions(items)
  refuseTwoOutages(items)
  return items
}

function parseItem(words: Words, field: string, grammars: Grammars): Item {
  const from = parseFrom(words.get('from'), `${field}.from`, [...grammars.keys()])
  const grammar = grammars.get(from) ?? KUBERNETES_GRAMMAR
  for (const word of words.keys()) checkWord(word, [...COMMON, ...grammar.words], field, from)
  const text = (word: string): string | undefined => parseWord(words.get(word), `${field}.${word}`)
  return {
    from,
    secret: parseSecret(words.get('secret'), `${field}.secret`, grammar),
    version: parseVersion(words.get('version'), `${field}.version`),
    role: text('role'),
    args: parseArgs(words.get('args'), `${field}.args`),
    ...parsePlace(words, field, grammar),
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
  if (!([...COMMON, ...OF_SOME_SOURCES] as readonly string[]).includes(word)) return
  refuse('volumeAttributes', `${word} belongs into items: { secret: NAME, ${word}: ... }`)
}

function checkWord(word: string, known: readonly string[], field: string, from?: string): void {
  if (known.includes(word)) return
  if (from !== undefined && (OF_SOME_SOURCES as readonly string[]).includes(word)) {
    refuse(`${field}.${word}`, `means nothing to the source ${quoted(from)}`)
  }
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
    if (item.key !== undefined || item.path !== undefined) continue
    const key: SecretKey = `${secretKeyOf(item)}\n${item.dir ?? ''}`
    const other = whole.get(key)
    if (other !== undefined) {
      refuse(`${LIST}[${other}] and items[${index}]`, `both take all of secret "${item.secret}"`)
    }
    whole.set(key, index)
  }
  refuseCollisions(
    items.flatMap((item, index) => {
      const path = item.path ?? item.key
      return path === undefined ? [] : [{ item: index, path }]
    }),
  )
}

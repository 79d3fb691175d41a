import { quoted } from '../../core/foreign-text.ts'
import { parseSafePath } from '../../core/safe-path.ts'
import type { Grammar } from './grammar.ts'
import { parseText, refuse } from './item-words.ts'
import type { Item } from './item.ts'

type Place = Pick<Item, 'key' | 'path' | 'dir' | 'format'>

/**
 * Which entries of a secret an item takes and where they go: `key` with or without `path`, all of them with or
 * without `dir`, or the whole as one file with `format: json` and `path`.
 *
 * Throws: InvalidRequest.
 */
export function parsePlace(
  words: ReadonlyMap<string, unknown>,
  field: string,
  { checkKey }: Grammar,
): Place {
  const key = parseKey(words.get('key'), `${field}.key`, checkKey)
  const path = parsePath(words.get('path'), `${field}.path`)
  const dir = parsePath(words.get('dir'), `${field}.dir`)
  const format = parseFormat(words.get('format'), `${field}.format`)
  if (format !== undefined) {
    if (path === undefined || key !== undefined || dir !== undefined) {
      refuse(`${field}.format`, 'needs path beside it, and neither key nor dir: it is one file')
    }
  } else if (path !== undefined && key === undefined) {
    refuse(`${field}.path`, 'needs key beside it: a path is for one entry of the secret')
  }
  if (dir !== undefined && key !== undefined) {
    refuse(`${field}.dir`, 'is for all entries; with key, write path')
  }
  return { key, path, dir, format }
}

function parseKey(key: unknown, field: string, check: Grammar['checkKey']): string | undefined {
  if (key === undefined) return undefined
  const name = parseText(key, field)
  const wrong = check(name)
  return wrong === undefined ? name : refuse(field, `${quoted(name)} ${wrong}`)
}

function parsePath(path: unknown, field: string): string | undefined {
  if (path === undefined) return undefined
  const text = parseText(path, field)
  parseSafePath(text, field)
  return text
}

function parseFormat(format: unknown, field: string): 'json' | undefined {
  if (format === undefined || format === 'json') return format
  return refuse(field, 'must be json, or be left out')
}

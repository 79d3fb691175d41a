import { isAlias, isMap, isScalar, isSeq, Lexer, parseDocument } from 'yaml'
import type { Document, Pair, Range, YAMLMap } from 'yaml'
import { LatchkeyError } from '../../core/errors.ts'
import { cleaned, quoted } from '../../core/foreign-text.ts'

const MAX_BYTES = 64 * 1024
/**
 * The parser's time grows with the pieces (brackets, commas, words, escapes) rather than with the bytes,
 * and a tenant chooses them: 64 KiB of brackets hold the event loop for seconds. A list of 256 items with
 * every word set has about 14,000.
 */
const MAX_PIECES = 16_384
const MAX_ITEMS = 256
const MAX_MESSAGE_CHARS = 160

/** The words of one item with what stands behind them: plain scalars, or a node that is none. */
export type Words = ReadonlyMap<string, unknown>

/**
 * Reads a YAML list of flat maps, and nothing else that YAML can say: no alias or anchor (a few of them can
 * stand for more values than a machine has memory), no tag, no merge.
 *
 * `field` names the attribute in errors. Throws: InvalidRequest, with line and column where it has some.
 */
export function readItemList(yaml: string, field: string): readonly Words[] {
  refuseOversized(yaml, field)
  const document = parseDocument(yaml, {
    // YAML 1.2: no surprises from `yes`, from 0400 or from `<<`.
    schema: 'core',
    merge: false,
    stringKeys: true,
    // Checked below: the parser would compare each key with every other.
    uniqueKeys: false,
    prettyErrors: false,
  })
  const refuse = (why: string, range?: Range | null): never =>
    refuseAt(field, why, yaml, range?.[0])
  refuseBrokenSyntax(document, field, yaml)
  refuseStrange(document.contents, refuse)
  const list = document.contents
  if (!isSeq(list)) return refuse('must be a YAML list, such as: - { secret: NAME, key: KEY }')
  if (list.items.length === 0) return refuse('is an empty list')
  if (list.items.length > MAX_ITEMS) return refuse(`has more than ${MAX_ITEMS} items`)
  return list.items.map((entry, index) => {
    refuseStrange(entry, refuse)
    if (isMap(entry)) return readWords(entry, `${field}[${index}]`, refuse)
    return refuseAt(`${field}[${index}]`, 'must be a map such as { secret: NAME, key: KEY }')
  })
}

type Refuse = (why: string, range?: Range | null) => never

function refuseOversized(yaml: string, field: string): void {
  if (Buffer.byteLength(yaml) > MAX_BYTES) refuseAt(field, `is longer than ${MAX_BYTES} bytes`)
  let pieces = 0
  for (const lexeme of new Lexer().lex(yaml)) {
    pieces += lexeme.split('\\').length
    if (pieces > MAX_PIECES) refuseAt(field, `has more than ${MAX_PIECES} words and signs`)
  }
}

/** Only the first error is told: what follows it is noise. */
function refuseBrokenSyntax(document: Document.Parsed, field: string, yaml: string): void {
  const [error] = [...document.errors, ...document.warnings]
  if (error === undefined) return
  const why = {
    MULTIPLE_DOCS: 'holds a second YAML document; one is expected',
    NON_STRING_KEY: 'has something else than a word before a colon',
    RESOURCE_EXHAUSTION: 'is nested too deeply',
    TAG_RESOLVE_FAILED: TAGS,
  }[error.code as string]
  const words = cleaned(error.message, MAX_MESSAGE_CHARS, [])
  refuseAt(field, why ?? `is not valid YAML: ${words}`, yaml, error.pos[0])
}

const TAGS = 'must not use tags ("!name")'

function refuseStrange(node: unknown, refuse: Refuse): void {
  if (isAlias(node)) refuse('must not use aliases ("*name")', node.range)
  if (!isScalar(node) && !isMap(node) && !isSeq(node)) return
  if (node.anchor !== undefined) refuse('must not use anchors ("&name")', node.range)
  if (node.tag !== undefined) refuse(TAGS, node.range)
}

function readWords(entry: YAMLMap, field: string, refuse: Refuse): Words {
  const words = new Map<string, unknown>()
  for (const { key, value } of entry.items as readonly Pair[]) {
    refuseStrange(key, refuse)
    refuseStrange(value, refuse)
    if (!isScalar(key) || typeof key.value !== 'string') return refuseAt(field, 'has no words')
    const word = key.value
    if (words.has(word)) refuseAt(field, `has ${quoted(word)} twice`)
    words.set(word, isScalar(value) ? value.value : value)
  }
  return words
}

function refuseAt(field: string, why: string, yaml = '', offset?: number): never {
  const place = offset === undefined ? '' : ` (line ${lineOf(yaml, offset)})`
  throw new LatchkeyError('InvalidRequest', `${field}: ${why}${place}`)
}

function lineOf(yaml: string, offset: number): string {
  const before = yaml.slice(0, offset).split('\n')
  return `${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`
}

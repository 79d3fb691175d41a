import { isMap, isNode, isScalar, LineCounter, parseDocument, visit } from 'yaml'
import type { Document, YAMLError } from 'yaml'
import type * as z from 'zod'
import { quoted } from '../core/foreign-text.ts'
import { nearestWord } from '../core/nearest-word.ts'
import { schema, sections, type Words } from './schema.ts'
import { SOURCE_SECTIONS } from './source-words.ts'
import { wordsAt } from './known-words.ts'

/** What is wrong and where; line and column count from 1, as editors do. */
export interface Problem {
  readonly line: number
  readonly column: number
  readonly message: string
}

export type Parsed =
  | { readonly words: Words; readonly problems?: never }
  | { readonly words?: never; readonly problems: readonly Problem[] }

/** A problem at an offset of the text. */
interface Found {
  readonly offset: number
  readonly message: string
}

type Path = readonly PropertyKey[]

const TOO_DEEP = 'not valid YAML: nested too deeply'

/** Reads the text of a configuration file. An empty one is fine, for every word has a default. */
export function parseConfig(text: string): Parsed {
  const lines = new LineCounter()
  const document = readDocument(text, lines)
  if (document === undefined) {
    return { problems: located([{ offset: 0, message: TOO_DEEP }], lines) }
  }
  const refused = [...syntaxErrors(document, text), ...strangeNodes(document)]
  if (refused.length > 0) return { problems: located(refused, lines) }

  const result = schema.safeParse(withoutEmptySections(document.toJS()))
  if (result.success) return { words: result.data }
  const wrong = result.error.issues.flatMap((issue) => explain(issue, document))
  return { problems: located(wrong, lines) }
}

/** undefined where it is nested so deeply that the parser, which calls itself for each level, has no stack left. */
function readDocument(text: string, lineCounter: LineCounter): Document.Parsed | undefined {
  try {
    // The core schema is YAML 1.2's: no surprises from `yes`, from 010 or from `<<`.
    return parseDocument(text, { lineCounter, schema: 'core', prettyErrors: false, merge: false })
  } catch (thrown) {
    if (thrown instanceof RangeError) return undefined
    throw thrown
  }
}

/** Of broken syntax only the first is told: what follows it is noise. */
function syntaxErrors({ errors, warnings }: Document.Parsed, text: string): readonly Found[] {
  const all: readonly YAMLError[] = [...errors, ...warnings]
  const twice = all.filter(({ code }) => code === 'DUPLICATE_KEY')
  const others = all.filter(({ code }) => code !== 'DUPLICATE_KEY')
  return [...twice, ...others.slice(0, 1)].map((error) => ({
    offset: error.pos[0],
    message: syntaxMessage(error, text),
  }))
}

function syntaxMessage({ code, message, pos }: YAMLError, text: string): string {
  switch (code) {
    case 'MULTIPLE_DOCS':
      return 'a second YAML document begins here; one is expected'
    case 'DUPLICATE_KEY':
      return `the word ${quoted(/^[^:\s]+/.exec(text.slice(pos[0]))?.[0] ?? '')} is there twice`
    case 'RESOURCE_EXHAUSTION':
      return TOO_DEEP
    default:
      return `not valid YAML: ${message.split('\n', 1)[0] ?? code}`
  }
}

/**
 * What YAML can say and this file need not. A handful of aliases can stand for more values than a
 * machine has memory.
 */
function strangeNodes(document: Document.Parsed): readonly Found[] {
  const found: Found[] = []
  visit(document, {
    Alias(_key, { range }) {
      found.push({ offset: range?.[0] ?? 0, message: 'aliases ("*name") are not taken' })
    },
    Pair(_key, { key }) {
      if (isScalar(key) && typeof key.value === 'string') return
      found.push({ offset: startOf(key), message: 'expected a word before the colon' })
    },
  })
  return found
}

/** A section whose lines are all commented out has no value; that says nothing, and is no error. */
function withoutEmptySections(plain: unknown): unknown {
  if (plain === null) return {}
  const named = withoutEmpty(plain, [...Object.keys(sections), 'sources'])
  if (!isPlainMap(named) || !Array.isArray(named['sources'])) return named
  const sources: readonly unknown[] = named['sources']
  return { ...named, sources: sources.map((source) => withoutEmpty(source, SOURCE_SECTIONS)) }
}

function withoutEmpty(plain: unknown, names: readonly string[]): unknown {
  if (!isPlainMap(plain)) return plain
  return Object.fromEntries(
    Object.entries(plain).filter(([word, value]) => value !== null || !names.includes(word)),
  )
}

function isPlainMap(plain: unknown): plain is Readonly<Record<string, unknown>> {
  return typeof plain === 'object' && plain !== null && !Array.isArray(plain)
}

function explain(issue: z.core.$ZodIssue, document: Document.Parsed): readonly Found[] {
  const { path } = issue
  if (issue.code !== 'unrecognized_keys') {
    const field = written(path)
    const message = document.hasIn(path) ? issue.message : `missing; ${issue.message}`
    const offset = startOf(nearestNode(document, path))
    return [{ offset, message: field === '' ? issue.message : `${field}: ${message}` }]
  }
  const node: unknown = path.length === 0 ? document.contents : document.getIn(path, true)
  return issue.keys.map((word) => {
    const pairs = isMap(node) ? node.items : []
    const pair = pairs.find(({ key }) => isScalar(key) && key.value === word)
    return { offset: startOf(pair?.key), message: unknownWord(word, path) }
  })
}

/** A word that is missing has no place of its own: it is missing in what lies around it. */
function nearestNode(document: Document.Parsed, path: Path): unknown {
  for (let length = path.length; length > 0; length -= 1) {
    const node: unknown = document.getIn(path.slice(0, length), true)
    if (isNode(node) && !(isScalar(node) && node.value === null && length < path.length)) {
      return node
    }
  }
  return document.contents
}

/** `sources[0].auth.method`. */
function written(path: Path): string {
  return path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '')
}

function unknownWord(word: string, path: Path): string {
  const known = wordsAt(path)
  const near = nearestWord(word, known)
  const place = path.length === 0 ? '' : ` in ${written(path)}`
  const hint = near === undefined ? `known are ${known.join(', ')}` : `did you mean "${near}"?`
  return `unknown word ${quoted(word)}${place}, ${hint}`
}

function startOf(node: unknown): number {
  return isNode(node) ? (node.range?.[0] ?? 0) : 0
}

/** One number can be too large twice over; it is told once. */
function located(found: readonly Found[], lines: LineCounter): readonly Problem[] {
  const different = new Map(found.map((one) => [`${one.offset} ${one.message}`, one]))
  return [...different.values()]
    .toSorted((a, b) => a.offset - b.offset)
    .map(({ offset, message }) => {
      const { line, col } = lines.linePos(offset)
      return { line: Math.max(line, 1), column: Math.max(col, 1), message }
    })
}

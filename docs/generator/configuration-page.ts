import * as z from 'zod'
import { INSTALLED_CONFIG } from '../../src/cli/config-file.ts'
import { schema } from '../../src/config/schema.ts'
import { code, table } from './table.ts'

interface Word {
  readonly description: string
  /** What it takes; sections have none. */
  readonly kind?: string
  /** As a user would write it. */
  readonly default?: string | number | boolean
  /** Where the default follows from another word, in words. */
  readonly otherwise?: string
  readonly properties?: Readonly<Record<string, Word>>
  readonly required?: readonly string[]
  /** Of a list: what an entry may be. */
  readonly items?: { readonly oneOf: readonly Word[] }
}

/** A row: the name as it is said in text, and whether it has to be there. */
interface Row {
  readonly name: string
  readonly word: Word
  readonly isRequired: boolean
}

/** docs/reference/configuration.md. */
export function configurationPage(): readonly string[] {
  const words = Object.entries(readWords())
  const sections = words.flatMap(([name, { description, properties }]) =>
    properties === undefined ? [] : [{ name, description, properties }],
  )
  const lists = words.flatMap(([name, { description, items }]) =>
    items === undefined ? [] : [{ name, description, kinds: items.oneOf }],
  )
  return [
    '# Configuration',
    '',
    `One YAML file for both sides: what \`--config FILE\` names, else \`${INSTALLED_CONFIG}\` where there is one,`,
    'as in both containers of the DaemonSet. Every word but some of a source has a default, and without a file all of',
    'them are taken.',
    'Unknown words are refused; `latchkey check FILE` tells what is wrong, by line and column, before anything is',
    'restarted.',
    '',
    'Durations are written with their units (`500ms`, `90s`, `5m`, `1h30m`), sizes likewise (`512KiB`, `4MiB`;',
    '`4Mi` is the same). There are no aliases and one document.',
    '',
    ...wordTable(words.filter(([, word]) => isPlain(word)).map(toRow)),
    ...sections.flatMap(({ name, description, properties }) => [
      '',
      `## ${name}`,
      '',
      description,
      '',
      ...wordTable(Object.entries(properties).map(toRow)),
    ]),
    ...lists.flatMap(({ name, description, kinds }) => [
      '',
      `## ${name}`,
      '',
      description,
      ...kinds.flatMap(kindSection),
    ]),
    '',
    '## Everything, with its default',
    '',
    '```yaml',
    ...defaultFile(),
    '```',
  ]
}

/** A file that says what no file says; words without a default stand in it as comments. */
export function defaultFile(): readonly string[] {
  return Object.entries(readWords()).flatMap(([name, word]) => {
    if (word.items !== undefined) return [`${name}: []`, ...word.items.oneOf.flatMap(exampleEntry)]
    return word.properties === undefined
      ? [defaultLine(name, word)]
      : [
          `${name}:`,
          ...Object.entries(word.properties).map((inner) => `  ${defaultLine(...inner)}`),
        ]
  })
}

function kindSection(entry: Word): readonly string[] {
  const name = kindOf(entry)
  return [
    '',
    `### kind: ${name}`,
    '',
    `${entry.properties?.['kind']?.description ?? ''} How it is set up and what its errors mean: [${name}](../sources/${name}.md).`,
    '',
    ...wordTable(rowsOf(entry)),
  ]
}

/** Every word of an entry, those of its sections written with a dot. */
function rowsOf({ properties = {}, required = [] }: Word, above = ''): readonly Row[] {
  return Object.entries(properties).flatMap(([name, word]) =>
    word.properties === undefined
      ? [{ name: above + name, word, isRequired: required.includes(name) }]
      : rowsOf(word, `${above}${name}.`),
  )
}

function exampleEntry(entry: Word): readonly string[] {
  const lines = Object.entries(entry.properties ?? {}).flatMap(([name, word]) =>
    word.properties === undefined
      ? [exampleLine(name, word)]
      : [
          `${name}:`,
          ...Object.entries(word.properties).map((inner) => `  ${exampleLine(...inner)}`),
        ],
  )
  return lines.map((line, index) => `#   ${index === 0 ? '-' : ' '} ${line}`)
}

function exampleLine(name: string, { kind = '', default: value, ...word }: Word): string {
  if ('const' in word) return `${name}: ${String(word.const)}`
  return `${name}: ${value === undefined ? kind : String(value)}`
}

function kindOf({ properties }: Word): string {
  const kind = properties?.['kind']
  return kind !== undefined && 'const' in kind ? String(kind.const) : ''
}

function isPlain({ properties, items }: Word): boolean {
  return properties === undefined && items === undefined
}

function toRow([name, word]: readonly [string, Word]): Row {
  return { name, word, isRequired: false }
}

function defaultLine(name: string, { kind = '', default: value }: Word): string {
  return value === undefined ? `# ${name}: ${kind}` : `${name}: ${String(value)}`
}

function wordTable(rows: readonly Row[]): readonly string[] {
  return table(
    ['word', 'default', 'takes', 'meaning'],
    rows.map(({ name, word, isRequired }) => [
      code(name),
      isRequired ? 'required' : defaultOf(word),
      word.kind ?? '',
      word.description,
    ]),
  )
}

function defaultOf({ default: value, otherwise = 'none' }: Word): string {
  return value === undefined ? otherwise : code(String(value))
}

function readWords(): Readonly<Record<string, Word>> {
  const { properties } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return properties as unknown as Record<string, Word>
}

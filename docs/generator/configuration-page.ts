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
  readonly properties?: Readonly<Record<string, Word>>
}

/** docs/reference/configuration.md. */
export function configurationPage(): readonly string[] {
  const words = Object.entries(readWords())
  const sections = words.flatMap(([name, { description, properties }]) =>
    properties === undefined ? [] : [{ name, description, properties }],
  )
  return [
    '# Configuration',
    '',
    `One YAML file for both sides: what \`--config FILE\` names, else \`${INSTALLED_CONFIG}\` where there is one,`,
    'as in both containers of the DaemonSet. Every word has a default, and without a file all of them are taken.',
    'Unknown words are refused; `latchkey check FILE` tells what is wrong, by line and column, before anything is',
    'restarted.',
    '',
    'Durations are written with their units (`500ms`, `90s`, `5m`, `1h30m`), sizes likewise (`512KiB`, `4MiB`;',
    '`4Mi` is the same). There are no aliases and one document.',
    '',
    ...wordTable(words.filter(([, { properties }]) => properties === undefined)),
    ...sections.flatMap(({ name, description, properties }) => [
      '',
      `## ${name}`,
      '',
      description,
      '',
      ...wordTable(Object.entries(properties)),
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
  return Object.entries(readWords()).flatMap(([name, word]) =>
    word.properties === undefined
      ? [defaultLine(name, word)]
      : [
          `${name}:`,
          ...Object.entries(word.properties).map((inner) => `  ${defaultLine(...inner)}`),
        ],
  )
}

function defaultLine(name: string, { kind = '', default: value }: Word): string {
  return value === undefined ? `# ${name}: ${kind}` : `${name}: ${String(value)}`
}

function wordTable(words: readonly (readonly [string, Word])[]): readonly string[] {
  return table(
    ['word', 'default', 'takes', 'meaning'],
    words.map(([name, { default: value, kind = '', description }]) => [
      code(name),
      value === undefined ? 'none' : code(String(value)),
      kind,
      description,
    ]),
  )
}

function readWords(): Readonly<Record<string, Word>> {
  const { properties } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  return properties as unknown as Record<string, Word>
}

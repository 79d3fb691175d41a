import { readWords } from '../support/arguments.ts'

export const USAGE = `npm run bench -- [options]
  --json FILE   writes what was measured there, too
  --only NAME   only rows whose name holds NAME; may come several times
  --quick       fewer rounds and volumes: to see that it runs, not for figures
  --list        names the rows and what they compare, and measures nothing
`

export interface BenchOptions {
  readonly json: string | undefined
  /** Empty: all rows. */
  readonly only: readonly string[]
  readonly isQuick: boolean
  readonly isList: boolean
}

/** Answers what is wrong with the words, in one line, where something is. */
export function parseOptions(
  argv: readonly string[],
  rowNames: readonly string[],
): BenchOptions | string {
  const words = readWords(argv, {
    json: { type: 'string' },
    only: { type: 'string', multiple: true, default: [] },
    quick: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  })
  if (typeof words === 'string') return words
  const { json, only, quick, list } = words
  if (json === '') return '--json: the name of the file is missing'
  const unknown = only.find((name) => !rowNames.some((row) => row.includes(name)))
  if (unknown !== undefined) {
    return `--only: no row has ${JSON.stringify(unknown)} in its name; there are ${rowNames.join(', ')}`
  }
  return { json, only, isQuick: quick, isList: list }
}

/** Whether the row was asked for. */
export function isChosen(name: string, { only }: Pick<BenchOptions, 'only'>): boolean {
  return only.length === 0 || only.some((part) => name.includes(part))
}

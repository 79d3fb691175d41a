import { describeGoal, isMet, ratioOf, type Figure } from '../figures/figure.ts'
import type { Outcome, Row } from '../row.ts'

export interface Line {
  readonly row: Pick<Row<never>, 'name' | 'title' | 'compares'>
  readonly outcome: Outcome
}

const HEAD = ['row', 'figure', 'ours', 'theirs', 'ratio', 'goal', ''] as const

/** The table, and below it what each row compares. */
export function formatTable(lines: readonly Line[]): string {
  const cells: (readonly string[])[] = [HEAD, ...lines.flatMap(cellsOf)]
  // What a row that was not measured says instead of figures may be long, and widens no column.
  const widths = HEAD.map((_, column) =>
    Math.max(
      ...cells
        .filter((row) => column === 0 || row.length === HEAD.length)
        .map((row) => row[column]?.length ?? 0),
    ),
  )
  const table = cells.map((row) => {
    const [name = '', ...rest] = row
    if (row.length < HEAD.length) return `${name.padEnd(widths[0] ?? 0)}  ${rest.join('  ')}`
    return row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  })
  const compared = lines.map(({ row }) => `${row.name}: ${row.title}. ${row.compares}`)
  return [...table, '', ...compared, ''].join('\n')
}

/** What a row that was not measured says instead: `skipped: needs root`. */
export function explain(outcome: Exclude<Outcome, { readonly kind: 'measured' }>): string {
  return `${outcome.kind}: ${outcome.why.split('\n')[0] ?? ''}`
}

function cellsOf({ row, outcome }: Line): readonly (readonly string[])[] {
  if (outcome.kind !== 'measured') return [[row.name, explain(outcome)]]
  return outcome.figures.map((figure, index) => [index === 0 ? row.name : '', ...cells(figure)])
}

function cells(figure: Figure): readonly string[] {
  const { name, unit, ours, theirs } = figure
  const ratio = ratioOf(figure)
  const met = isMet(figure)
  return [
    name,
    formatNumber(ours, unit),
    theirs === undefined ? '-' : formatNumber(theirs, unit),
    ratio === undefined ? '-' : formatRatio(ratio),
    describeGoal(figure),
    met === undefined ? '' : met ? 'met' : 'NOT MET',
  ]
}

function formatNumber(value: number, unit: string): string {
  return unit === '' ? round(value) : `${round(value)} ${unit}`
}

/** Of a hundredth and less nobody wants to know more. */
function formatRatio(ratio: number): string {
  return ratio < 0.01 ? '< 0.01x' : `${round(ratio)}x`
}

/** Three digits that count, and no more of them behind the point than a reader can use. */
function round(value: number): string {
  const size = Math.abs(value)
  return value.toFixed(size >= 100 || Number.isInteger(value) ? 0 : size >= 10 ? 1 : 2)
}

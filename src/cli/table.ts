/** What somebody looks at, as opposed to a pipe. */
export interface Screen {
  readonly columns: number
  readonly isColoured: boolean
}

export type Tone = 'good' | 'warning' | 'bad'

export interface Cell {
  readonly text: string
  readonly tone?: Tone
}

const GAP = '   '
const COLOURS: Readonly<Record<Tone, number>> = { good: 32, warning: 33, bad: 31 }
/** A last column narrower than this is not worth cutting. */
const LEAST_LAST_CHARS = 16

/**
 * A table for people: columns as wide as what is in them. On a screen the last one is cut where the line
 * would break; a pipe gets all of it, and no colours.
 */
export function renderTable(
  head: readonly string[],
  rows: readonly (readonly Cell[])[],
  screen?: Screen,
): string {
  const headCells = head.map((text): Cell => ({ text }))
  const clean = rows.map((row) => row.map((cell) => ({ ...cell, text: oneLine(cell.text) })))
  const widths = head.map((_, column) =>
    Math.max(...[headCells, ...clean].map((row) => row[column]?.text.length ?? 0)),
  )
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + GAP.length, 0)
  const left = (screen?.columns ?? Infinity) - before
  const lastChars = left < LEAST_LAST_CHARS ? Infinity : left
  return [headCells, ...clean]
    .map((row) => {
      const cells = row.map((cell, column) => {
        const isLast = column === row.length - 1
        const text = isLast ? cut(cell.text, lastChars) : cell.text.padEnd(widths[column] ?? 0)
        return screen?.isColoured === true ? coloured(text, cell.tone) : text
      })
      return `${cells.join(GAP).trimEnd()}\n`
    })
    .join('')
}

/** Colours the words, and not the space after them. */
export function coloured(text: string, tone: Tone | undefined): string {
  if (tone === undefined) return text
  const words = text.trimEnd()
  return `\u001b[${COLOURS[tone]}m${words}\u001b[0m${text.slice(words.length)}`
}

/** JSON whose control characters are all escaped: JSON.stringify lets those above U+007E through. */
export function toJson(value: unknown): string {
  const text = JSON.stringify(value, null, 2)
  return text.replace(
    /[\x7f-\x9f]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** One line of what somebody else wrote. */
export function oneLine(text: string): string {
  return printable(text).trim()
}

/** Without control characters, which could move a terminal's cursor. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ')
}

function cut(text: string, chars: number): string {
  return text.length > chars ? `${text.slice(0, chars - 1)}…` : text
}

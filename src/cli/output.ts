import { LatchkeyError } from '../core/errors.ts'
import { describeError } from '../observability/describe-error.ts'
import { printable, type Screen } from './table.ts'

/** Where a command writes; a test looks at it. */
export interface Terminal {
  /** What was asked for. */
  out(text: string): void
  /** What went wrong. */
  err(text: string): void
  /** undefined where `out` leads to a file or a pipe. */
  readonly screen?: Screen | undefined
}

export const processTerminal: Terminal = {
  out: (text) => {
    process.stdout.write(text)
  },
  err: (text) => {
    process.stderr.write(text)
  },
  get screen() {
    if (!process.stdout.isTTY) return undefined
    // https://no-color.org: set to anything but nothing.
    const isColoured = (process.env['NO_COLOR'] ?? '') === ''
    return { columns: process.stdout.columns, isColoured }
  },
}

/** Exit codes of every command. */
export const EXIT = {
  ok: 0,
  failure: 1,
  /** The command line itself was wrong. */
  usage: 2,
} as const

/** One line for the mistake and one for the way out, as every command says it. */
export function writeError(terminal: Terminal, message: string, hint?: string): void {
  terminal.err(`latchkey: error: ${indented(message)}\n`)
  if (hint !== undefined) terminal.err(`latchkey: hint: ${indented(hint)}\n`)
}

/** Anything thrown, in our own words: a foreign error's text may quote what it choked on. */
export function writeThrown(terminal: Terminal, thrown: unknown): void {
  const { reason, message, causes } = describeError(thrown, { withStack: false })
  if (reason !== 'Internal') {
    writeError(terminal, message)
    return
  }
  const what = thrown instanceof LatchkeyError ? [message, ...causes] : causes
  writeError(terminal, ['unexpected', ...what].join('\n'), 'this is a bug; please report it')
}

/** Only the first line of a message may look like a message; what else it holds is the other side's words. */
function indented(text: string): string {
  return text.trimEnd().split('\n').map(printable).join('\n  ')
}

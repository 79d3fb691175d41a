import { parseArgs } from 'node:util'
import { nearestWord } from '../core/nearest-word.ts'
import type { Command, Flag } from './commands.ts'

/** What a command line asks for. */
export type Request =
  | {
      readonly kind: 'run'
      readonly command: Command
      readonly flags: ReadonlyMap<string, string>
      readonly operands: readonly string[]
    }
  | { readonly kind: 'help'; readonly command: Command | undefined }
  | { readonly kind: 'version' }
  | { readonly kind: 'mistake'; readonly message: string; readonly hint: string }

type Token = NonNullable<ReturnType<typeof tokenize>>[number]

/** Reads a command line, without the program's own name. */
export function parseCommandLine(argv: readonly string[], commands: readonly Command[]): Request {
  const [word, ...rest] = argv
  if (word === undefined) return mistake('no command given', seeHelp())
  if (word === '--version' || word === 'version') return { kind: 'version' }
  if (word === '--help' || word === '-h') return { kind: 'help', command: undefined }
  if (word === 'help') {
    return rest[0] === undefined
      ? { kind: 'help', command: undefined }
      : withCommand(rest[0], commands, (command) => ({ kind: 'help', command }))
  }
  return withCommand(word, commands, (command) => parseRest(command, rest))
}

function withCommand(
  word: string,
  commands: readonly Command[],
  go: (command: Command) => Request,
): Request {
  const command = commands.find(({ name }) => name === word)
  if (command !== undefined) return go(command)
  const names = commands.map(({ name }) => name)
  return mistake(`unknown command ${JSON.stringify(word)}`, didYouMean(word, names, ''))
}

function parseRest(command: Command, argv: readonly string[]): Request {
  const flags = new Map<string, string>()
  const operands: string[] = []
  for (const token of tokenize(argv, command.flags)) {
    if (token.kind === 'positional') operands.push(token.value)
    if (token.kind !== 'option') continue
    if (token.name === 'help' || token.name === 'h') return { kind: 'help', command }
    const wrong = takeFlag(token, command, flags)
    if (wrong !== undefined) return wrong
  }
  const missing = command.operands[operands.length]
  if (missing !== undefined)
    return mistake(`${command.name}: ${missing} is missing`, seeHelp(command))
  const extra = operands[command.operands.length + (command.optional?.length ?? 0)]
  if (extra !== undefined) {
    return mistake(`${command.name}: what is ${JSON.stringify(extra)}?`, seeHelp(command))
  }
  return { kind: 'run', command, flags, operands }
}

// Not strict: its errors come one by one, in words of its own, and know no nearest flag.
function tokenize(argv: readonly string[], flags: readonly Flag[]) {
  const options = Object.fromEntries(flags.map(({ name }) => [name, { type: 'string' as const }]))
  const args = [...argv]
  return parseArgs({ args, options, strict: false, allowPositionals: true, tokens: true }).tokens
}

/** Answers what is wrong with it. */
function takeFlag(
  { name, rawName, value, inlineValue }: Extract<Token, { kind: 'option' }>,
  command: Command,
  into: Map<string, string>,
): Request | undefined {
  const flag = command.flags.find((known) => known.name === name)
  if (flag === undefined || !rawName.startsWith('--')) {
    const names = command.flags.map((known) => known.name)
    const message = `${command.name}: unknown flag ${JSON.stringify(rawName)}`
    return mistake(message, didYouMean(name, names, '--', command))
  }
  const isAnotherFlag = inlineValue === false && value.startsWith('-')
  if (value === undefined || value === '' || isAnotherFlag) {
    return mistake(`${command.name}: ${rawName} needs ${flag.placeholder}`, seeHelp(command))
  }
  if (flag.oneOf?.includes(value) === false) {
    const message = `${command.name}: ${rawName} takes ${flag.oneOf.join(' or ')}, not ${JSON.stringify(value)}`
    return mistake(message, didYouMean(value, flag.oneOf, '', command))
  }
  if (into.has(name)) return mistake(`${command.name}: ${rawName} is given twice`, seeHelp(command))
  into.set(name, value)
  return undefined
}

function didYouMean(
  word: string,
  known: readonly string[],
  prefix: string,
  command?: Command,
): string {
  const near = nearestWord(word, known)
  return near === undefined ? seeHelp(command) : `did you mean "${prefix}${near}"?`
}

function seeHelp(command?: Command): string {
  return command === undefined
    ? 'latchkey --help lists the commands'
    : `latchkey ${command.name} --help tells what it takes`
}

function mistake(message: string, hint: string): Request {
  return { kind: 'mistake', message, hint }
}

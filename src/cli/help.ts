import type { Command } from './commands.ts'

const HEAD = 'latchkey delivers secrets to the pods of one Kubernetes node, as files in memory'

/** What `latchkey --help` prints. */
export function helpText(commands: readonly Command[]): string {
  return [
    HEAD,
    '',
    'usage: latchkey COMMAND',
    '',
    ...columns(commands.map((command) => [operandsOf(command), command.summary])),
    '',
    ...columns([
      ['COMMAND --help', 'what a command takes'],
      ['--version', 'the version of this program'],
    ]),
    '',
  ].join('\n')
}

/** What `latchkey COMMAND --help` prints. */
export function commandHelpText(command: Command): string {
  const flags = command.flags.map(
    ({ name, placeholder, summary }) => [`--${name} ${placeholder}`, summary] as const,
  )
  return [
    `latchkey ${command.name}: ${command.summary}`,
    '',
    `usage: latchkey ${signatureOf(command)}`,
    ...(flags.length === 0 ? [] : ['', ...columns(flags)]),
    '',
  ].join('\n')
}

/** A command as one writes it, such as `check FILE`. */
export function signatureOf(command: Command): string {
  const flags = command.flags.map((flag) => `[--${flag.name} ${flag.placeholder}]`)
  return [operandsOf(command), ...flags].join(' ')
}

/** The same without its flags: on one line with the summary there is no room for them. */
function operandsOf({ name, operands, optional = [] }: Command): string {
  return [name, ...operands, ...optional.map((operand) => `[${operand}]`)].join(' ')
}

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}   ${right}`)
}

import { COMMANDS, type Command } from '../../src/cli/commands.ts'
import { signatureOf } from '../../src/cli/help.ts'
import { EXIT } from '../../src/cli/output.ts'
import { code, table } from './table.ts'

/** docs/reference/command-line.md. */
export function commandLinePage(): readonly string[] {
  return [
    '# Command line',
    '',
    'In this repository `npm run latchkey -- COMMAND`, of the image its arguments: `docker run IMAGE COMMAND`.',
    'On a node: `kubectl -n latchkey-system exec ds/latchkey -c host -- latchkey COMMAND`. Which node that is, kubectl',
    'chooses; name the pod instead of `ds/latchkey` for another one.',
    '',
    ...table(
      ['command', 'what it does'],
      COMMANDS.map((command) => [code(signatureOf(command)), command.summary]),
    ),
    '',
    ...table(['flag', 'of', 'what it takes'], flagRows(COMMANDS)),
    '',
    '`--help` lists the commands, `COMMAND --help` what one takes, `--version` the version.',
    '',
    'Mistakes go to standard error as `latchkey: error: ...`, with `latchkey: hint: ...` where there is a way out.',
    `Exit codes: ${EXIT.ok} for success, ${EXIT.failure} for failure, ${EXIT.usage} for a wrong command line.`,
  ]
}

/** One row for a flag that several commands share. */
function flagRows(commands: readonly Command[]): readonly (readonly string[])[] {
  const rows = new Map<string, { readonly cells: readonly string[]; readonly of: string[] }>()
  for (const { name: command, flags } of commands) {
    for (const { name, placeholder, summary } of flags) {
      const flag = code(`--${name} ${placeholder}`)
      const row = rows.get(flag + summary) ?? { cells: [flag, summary], of: [] }
      row.of.push(command)
      rows.set(flag + summary, row)
    }
  }
  return [...rows.values()].map(({ cells: [flag = '', summary = ''], of }) => [
    flag,
    of.join(', '),
    summary,
  ])
}

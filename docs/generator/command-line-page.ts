import { COMMANDS } from '../../src/cli/commands.ts'
import { signatureOf } from '../../src/cli/help.ts'
import { EXIT } from '../../src/cli/output.ts'
import { code, table } from './table.ts'

/** docs/reference/command-line.md. */
export function commandLinePage(): readonly string[] {
  const flags = new Map(
    COMMANDS.flatMap((command) => command.flags).map((flag) => [flag.name, flag]),
  )
  return [
    '# Command line',
    '',
    'In this repository `npm run latchkey -- COMMAND`, of the image its arguments: `docker run IMAGE COMMAND`.',
    '',
    ...table(
      ['command', 'what it does'],
      COMMANDS.map((command) => [code(signatureOf(command)), command.summary]),
    ),
    '',
    ...table(
      ['flag', 'what it takes'],
      [...flags.values()].map(({ name, placeholder, summary }) => [
        code(`--${name} ${placeholder}`),
        summary,
      ]),
    ),
    '',
    '`--help` lists the commands, `COMMAND --help` what one takes, `--version` the version.',
    '',
    'Mistakes go to standard error as `latchkey: error: ...`, with `latchkey: hint: ...` where there is a way out.',
    `Exit codes: ${EXIT.ok} for success, ${EXIT.failure} for failure, ${EXIT.usage} for a wrong command line.`,
  ]
}

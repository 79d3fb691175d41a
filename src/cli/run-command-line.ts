import type { Command } from './commands.ts'
import { commandHelpText, helpText } from './help.ts'
import { EXIT, writeError, writeThrown, type Terminal } from './output.ts'
import { parseCommandLine } from './parse.ts'
import { readVersion } from './version.ts'

/** Does what a command line asks for and answers the exit code. Throws nothing. */
export async function runCommandLine(
  argv: readonly string[],
  commands: readonly Command[],
  terminal: Terminal,
): Promise<number> {
  const request = parseCommandLine(argv, commands)
  switch (request.kind) {
    case 'mistake':
      writeError(terminal, request.message, request.hint)
      return EXIT.usage
    case 'version':
      terminal.out(`latchkey ${readVersion()}\n`)
      return EXIT.ok
    case 'help':
      terminal.out(
        request.command === undefined ? helpText(commands) : commandHelpText(request.command),
      )
      return EXIT.ok
    case 'run':
      try {
        const { flags, operands } = request
        return await request.command.run({ flags, operands, terminal })
      } catch (thrown) {
        writeThrown(terminal, thrown)
        return EXIT.failure
      }
  }
}

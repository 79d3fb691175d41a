import { checkConfig } from '../config/load.ts'
import type { CommandArgs } from './commands.ts'
import { EXIT, writeError } from './output.ts'

/** `latchkey check FILE`: says ok, or every mistake with its line and column. */
export function runCheck({ operands, terminal }: CommandArgs): number {
  const [file = ''] = operands
  const problems = checkConfig(file)
  if (problems.length === 0) {
    terminal.out(`${file}: ok\n`)
    return EXIT.ok
  }
  for (const problem of problems) writeError(terminal, problem)
  return EXIT.failure
}

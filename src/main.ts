#!/usr/bin/env node
import { COMMANDS } from './cli/commands.ts'
import { EXIT, processTerminal, writeThrown } from './cli/output.ts'
import { runCommandLine } from './cli/run-command-line.ts'

// Node's own report prints the text of the error and of all its causes, and a foreign one's text may quote
// a secret.
process.on('uncaughtException', (thrown) => {
  writeThrown(processTerminal, thrown)
  process.exit(EXIT.failure)
})

process.exit(await runCommandLine(process.argv.slice(2), COMMANDS, processTerminal))

#!/usr/bin/env node
import { COMMANDS } from './cli/commands.ts'
import { EXIT, processTerminal, writeThrown } from './cli/output.ts'
import { runCommandLine } from './cli/run-command-line.ts'

// Without a listener it opens a debugger, and with it the memory. The image has Node not even listen for it;
// this is for whoever starts the program in another way.
process.on('SIGUSR1', () => undefined)

// Node's own report prints the text of the error and of all its causes, and a foreign one's text may quote
// a secret.
process.on('uncaughtException', (thrown) => {
  writeThrown(processTerminal, thrown)
  process.exit(EXIT.failure)
})

process.exit(await runCommandLine(process.argv.slice(2), COMMANDS, processTerminal))

import { execFileSync } from 'node:child_process'
import { join } from 'node:path'

import { run } from '../../e2e/cluster/command.ts'
import { findProgram } from '../../e2e/cluster/packages.ts'

/** Path of a C compiler; CC in the environment comes first. */
export function findCompiler(): string | undefined {
  const named = process.env['CC']
  const names = [...(named === undefined ? [] : [named]), 'cc', 'gcc', 'clang']
  return names.map((name) => findProgram(name)).find((path) => path !== undefined)
}

/** Compiles `c/NAME.c` into the folder; answers the program's path. Throws: Error, with what the compiler said. */
export async function compile(name: string, folder: string): Promise<string> {
  const compiler = findCompiler()
  if (compiler === undefined) throw new Error('no C compiler')
  const program = join(folder, name)
  await run([compiler, '-O2', '-Wall', '-o', program, join(import.meta.dirname, `${name}.c`)])
  return program
}

/** Runs one of our C programs, which print the nanoseconds that their work took; answers milliseconds. */
export function runTimed(program: string, args: readonly (string | number)[]): number {
  const words = args.map(String)
  return Number(execFileSync(program, words, { encoding: 'utf8', timeout: 120_000 })) / 1e6
}

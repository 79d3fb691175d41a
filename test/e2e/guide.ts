import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { ClusterNode } from './cluster/cluster.ts'
import type { CommandOptions } from './cluster/command.ts'

export const PROJECT = join(import.meta.dirname, '..', '..')
const TYPED_WITHIN_MS = 150_000

/** The text of one section of a page, up to the next heading of that kind. */
export function sectionOf(page: string, section: string): string {
  const [, text] = readFileSync(join(PROJECT, page), 'utf8').split(`\n## ${section}\n`)
  if (text === undefined) throw new Error(`${page} has no section "${section}"`)
  return text.split('\n## ')[0] ?? ''
}

/** The commands of one section of a page as printed, each with the lines that belong to it. */
export function commandsOf(page: string, section: string): string[] {
  return blocksOf(sectionOf(page, section), 'console').flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((command) => command.trimEnd()),
  )
}

/** The fenced blocks of a language. */
export function blocksOf(text: string, language: string): string[] {
  const fence = new RegExp(`^( *)\`\`\`${language}\\n(.*?)^\\1\`\`\`$`, 'gms')
  return [...text.matchAll(fence)].map(([, indent = '', block = '']) =>
    block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  )
}

/** Runs a command of a page in bash on the node. `programs` are the words that stand for a name there. */
export async function type(
  node: ClusterNode,
  command: string,
  folder: string,
  programs: Readonly<Record<string, readonly string[]>>,
  options: CommandOptions = {},
): Promise<string> {
  const functions = Object.entries(programs).map(
    ([name, words]) => `${name}() { ${words.map((word) => `'${word}'`).join(' ')} "$@"; }`,
  )
  const script = ['set -euo pipefail', `cd '${folder}'`, ...functions, command].join('\n')
  const label = command.split('\n')[0] ?? ''
  const { stdout } = await node.run(['bash', '-c', script], {
    label,
    timeoutMs: TYPED_WITHIN_MS,
    ...options,
  })
  return stdout.toString()
}

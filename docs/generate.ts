import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { renderPages } from './generator/pages.ts'

/*
 * `node docs/generate.ts`: writes the pages of docs/reference that are made from the sources.
 * `--check` writes nothing, names the pages that are out of date, and exits 1 if there are any.
 */
const DOCS = import.meta.dirname
const { values } = parseArgs({ options: { check: { type: 'boolean', default: false } } })

const stale = (await renderPages(DOCS)).filter(({ path, text }) => read(path) !== text)
for (const { path, text } of stale) {
  if (!values.check) writeFileSync(join(DOCS, path), text)
  process.stdout.write(`docs/${path} ${values.check ? 'is out of date' : 'written'}\n`)
}
if (values.check && stale.length > 0) process.exitCode = 1

function read(path: string): string | undefined {
  try {
    return readFileSync(join(DOCS, path), 'utf8')
  } catch {
    return undefined
  }
}

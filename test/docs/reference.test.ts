import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { defaultFile } from '../../docs/generator/configuration-page.ts'
import { renderPages } from '../../docs/generator/pages.ts'
import { parseConfig } from '../../src/config/parse.ts'

const DOCS = new URL('../../docs', import.meta.url).pathname

test('the generated pages are what the sources say; `npm run docs` writes them', async (t) => {
  for (const { path, text } of await renderPages(DOCS)) {
    t.is(readFileSync(join(DOCS, path), 'utf8'), text, path)
  }
})

test('the file with every default says what no file says', (t) => {
  t.deepEqual(parseConfig(defaultFile().join('\n')), parseConfig(''))
})

test('the file with every default names every word', (t) => {
  const names = defaultFile().map((line) => line.replace(/^[ #]*/, '').split(':')[0])
  for (const word of [
    'driver',
    'node',
    'kubelet',
    'root',
    'selinuxContext',
    'kubeconfig',
    'level',
  ]) {
    t.true(names.includes(word), word)
  }
})

import { existsSync, readFileSync } from 'node:fs'
import test from 'ava'
import { namedTests, unproven } from './named-tests.ts'

const PROJECT = new URL('../../', import.meta.url).pathname

const read = (path: string): string | undefined =>
  existsSync(PROJECT + path) ? readFileSync(PROJECT + path, 'utf8') : undefined

for (const page of ['guarantees', 'threat-model']) {
  test(`every row of docs/${page}.md names the test that proves it, and that test is there`, (t) => {
    const markdown = readFileSync(`${PROJECT}docs/${page}.md`, 'utf8')
    t.true(namedTests(markdown).length >= 25)
    t.deepEqual(unproven(markdown, read), [])
  })
}

test('a proof that is not there is found', (t) => {
  const files = new Map([['test/a.test.ts', "test('files stay', () => {})\nmountTest(`it goes`)"]])
  const judge = (cell: string) =>
    unproven(`| a promise | a limit | ${cell} |`, (path) => files.get(path))
  t.deepEqual(judge('[files stay](../test/a.test.ts) · [it goes](../test/a.test.ts)'), [])
  t.deepEqual(judge('[files went](../test/a.test.ts)'), ['test/a.test.ts: no test "files went"'])
  t.deepEqual(judge('[files stay](../test/b.test.ts)'), ['test/b.test.ts: no test "files stay"'])
  t.deepEqual(judge('surely'), ['"a promise": names no test'])
})

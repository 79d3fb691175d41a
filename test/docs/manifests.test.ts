import { globSync, readFileSync } from 'node:fs'
import test from 'ava'
import { judgeVolumes, readWritten } from './written-yaml.ts'

const PROJECT = new URL('../../', import.meta.url).pathname
const GUIDES = ['docs/coming-from/vault-agent.md', 'docs/coming-from/vault-csi-provider.md']
const PAGES = globSync(['*.md', 'docs/**/*.md'], { cwd: PROJECT }).toSorted()

const read = (page: string) => readWritten(readFileSync(PROJECT + page, 'utf8'))
const declared = PAGES.flatMap((page) => read(page).sources)

for (const page of PAGES) {
  const written = read(page)
  const holdsSome = written.volumes.length + written.sources.length > 0
  if (!holdsSome && written.mistakes.length === 0) continue

  test(`every volume and every source written in ${page} is one that Latchkey takes`, (t) => {
    t.deepEqual(written.mistakes, [])
    t.deepEqual(judgeVolumes(written, [...written.sources, ...declared]), [])
  })
}

for (const page of GUIDES) {
  test(`${page} is whole: its pods name its own sources, whose audiences it has the CSIDriver ask for`, (t) => {
    const written = read(page)
    t.true(written.volumes.length >= 2)
    t.deepEqual(judgeVolumes(written, written.sources), [])
    for (const { audience } of written.sources) t.true(written.audiences.includes(audience))
  })
}

const inBlock = (yaml: string): string => ['```yaml', yaml, '```', ''].join('\n')
const SOURCE = inBlock(
  'sources: [{ kind: vault, name: v, address: "https://v", auth: { method: jwt, role: r } }]',
)

test('what Latchkey would refuse is found', (t) => {
  const judge = (yaml: string) => {
    const written = readWritten(SOURCE + inBlock(yaml))
    return [...written.mistakes, ...judgeVolumes(written, written.sources)].join()
  }
  t.is(judge('volumeAttributes: { items: "- { from: v, secret: kv/a, key: b }" }'), '')
  t.regex(judge('volumeAttributes: { items: "- { from: v, secrets: kv/a }" }'), /"secrets"/)
  t.regex(judge('volumeAttributes: { items: "- { from: w, secret: kv/a }" }'), /declared sources/)
  t.regex(judge('volumeAttributes: { items: "- { from: v, role: r, secret: kv/a }" }'), /twice/)
  t.regex(judge('volumeAttributes: { secret: 5 }'), /secret is no text/)
  t.regex(judge('csi: { driver: csi.latchkey.dev }'), /readOnly/)
  t.regex(judge('a: [b'), /flow sequence|\]/i)
})

test('a source is read where it stands, in a patch of a kustomization too', (t) => {
  const patch = (word: string) =>
    readWritten(
      inBlock(
        `patches:\n  - patch: |\n      data:\n        config.yaml: |\n          sources: [{ kind: vault, name: v, ${word}: "https://v", auth: { method: jwt } }]`,
      ),
    )
  t.deepEqual(patch('address').sources, [{ name: 'v', role: undefined, audience: 'vault' }])
  t.regex(patch('adress').mistakes.join(), /did you mean "address"/)
})

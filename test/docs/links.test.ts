import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'

const PROJECT = new URL('../../', import.meta.url).pathname

/** As forges make them: lower case, blanks to dashes, anything else that is no letter or digit left out. */
function anchorsOf(markdown: string): readonly string[] {
  return [...withoutCode(markdown).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

function withoutCode(markdown: string): string {
  return markdown.replace(/^```.*?^```/gms, '').replace(/`[^`\n]*`/g, '')
}

/** Links of a page that lead nowhere within this repository. */
function deadLinks(page: string, markdown: string): readonly string[] {
  const targets = [...withoutCode(markdown).matchAll(/\]\(([^)\s]+)\)/g)].map(
    ([, target = '']) => target,
  )
  return targets.filter((target) => {
    if (/^[a-z]+:/.test(target)) return false
    const [path = '', anchor] = target.split('#')
    const file = path === '' ? page : join(dirname(page), path)
    if (!existsSync(join(PROJECT, file))) return true
    if (anchor === undefined || !file.endsWith('.md')) return false
    return !anchorsOf(readFileSync(join(PROJECT, file), 'utf8')).includes(anchor)
  })
}

const PAGES = globSync(['*.md', 'docs/**/*.md'], { cwd: PROJECT }).toSorted()

test('there are pages to look at', (t) => {
  t.true(PAGES.includes('README.md') && PAGES.includes('docs/install.md'), PAGES.join())
})

for (const page of PAGES) {
  test(`every link of ${page} leads somewhere`, (t) => {
    t.deepEqual(deadLinks(page, readFileSync(join(PROJECT, page), 'utf8')), [])
  })
}

test('a link that leads nowhere is found', (t) => {
  const links =
    '[a](docs/nowhere.md) [b](docs/install.md#nowhere) [c](docs/install.md#remove) `[d](e)`'
  t.deepEqual(deadLinks('README.md', links), ['docs/nowhere.md', 'docs/install.md#nowhere'])
})

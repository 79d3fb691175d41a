export interface NamedTest {
  readonly title: string
  /** From the repository's root. */
  readonly path: string
}

const LINK = /\[([^\]]+)\]\(\.\.\/(test\/[^)\s]+)\)/g

/** The tests that a page in docs/ points at: links to files of test/ whose text is the test's title. */
export function namedTests(markdown: string): readonly NamedTest[] {
  return [...markdown.matchAll(LINK)].map(([, title = '', path = '']) => ({ title, path }))
}

/**
 * What the tables of a page promise without proof: rows that name no test, and tests that are not in the file.
 * Titles made by a loop hold a `${…}`, which stands for anything.
 */
export function unproven(
  markdown: string,
  read: (path: string) => string | undefined,
): readonly string[] {
  const lines = markdown.split('\n')
  const isHead = (index: number): boolean => isRule(lines[index + 1])
  const isRow = (line: string, index: number): boolean =>
    line.startsWith('| ') && !isRule(line) && !isHead(index)
  const rows = lines.filter(isRow)
  return rows.flatMap((row) => {
    const tests = namedTests(row)
    if (tests.length === 0) return [`"${row.split('|')[1]?.trim() ?? ''}": names no test`]
    return tests
      .filter(({ title, path }) => !holds(read(path) ?? '', title))
      .map(({ title, path }) => `${path}: no test "${title}"`)
  })
}

/** What Markdown has between a table's head and its body. */
function isRule(line: string | undefined): boolean {
  return line !== undefined && /^\| -+/.test(line)
}

function holds(source: string, title: string): boolean {
  const titles = source.matchAll(
    /(?:test|Test|story|Story)\w*(?:\.serial)?\(\s*(['`])((?:\\.|(?!\1).)*)\1/gs,
  )
  return [...titles].some(([, , pattern = '']) => {
    const parts = pattern.split(/\$\{[^}]*\}/).map((part) => RegExp.escape(part))
    return new RegExp(`^${parts.join('.*')}$`).test(title)
  })
}

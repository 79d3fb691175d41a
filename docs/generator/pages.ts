import { format, resolveConfig } from 'prettier'
import { commandLinePage } from './command-line-page.ts'
import { configurationPage } from './configuration-page.ts'
import { errorPage } from './error-page.ts'
import { metricsPage } from './metrics-page.ts'

/** Each generated page: where it lies below docs/, and what it is made of. */
const PAGES = [
  { path: 'reference/command-line.md', from: 'src/cli/commands.ts', write: commandLinePage },
  { path: 'reference/configuration.md', from: 'src/config/schema.ts', write: configurationPage },
  { path: 'reference/errors.md', from: 'src/core/errors.ts', write: errorPage },
  { path: 'reference/metrics.md', from: 'src/observability/', write: metricsPage },
] as const

export interface Page {
  /** Below docs/. */
  readonly path: string
  readonly text: string
}

/** The pages as they have to be, formatted as `npm run format` would. */
export async function renderPages(docs: string): Promise<readonly Page[]> {
  const options = await resolveConfig(`${docs}/reference/page.md`)
  return Promise.all(
    PAGES.map(async ({ path, from, write }) => {
      const head = `<!-- Made from ${from} by \`node docs/generate.ts\`; edits here are lost. -->`
      const lines = [head, '', ...write(), '']
      return { path, text: await format(lines.join('\n'), { ...options, parser: 'markdown' }) }
    }),
  )
}

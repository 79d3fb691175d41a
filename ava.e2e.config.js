const round = process.env.LATCHKEY_E2E_STORIES

const STORIES = 'test/e2e/stories/*.test.ts'
/** Stories that neither kill nor replace anything, and so do not mind others at the same time. */
const CALM = [
  ...['change', 'contract', 'delivery', 'freshness', 'metrics', 'refusals'],
  ...['vault', 'vault-renewal'],
].map((name) => `test/e2e/stories/${name}.test.ts`)

function storiesOf(round) {
  if (round === 'calm') return CALM
  // One node, one story at a time: these kill its parts and measure how soon pods start.
  return round === 'stormy' ? [STORIES, ...CALM.map((file) => `!${file}`)] : [STORIES]
}

// The contract of the API server in memory is run on the node itself, by a story.
const isContract = process.env.LATCHKEY_E2E_CONTRACT !== undefined

export default {
  files: isContract ? ['test/e2e/contract/*.test.ts'] : storiesOf(round),
  extensions: ['ts'],
  workerThreads: false,
  concurrency: round === 'calm' ? 3 : 1,
  // Longest silence of one file. kubelet's backoff alone may last two minutes.
  timeout: '6m',
}

const isContract = process.env.LATCHKEY_E2E_CONTRACT !== undefined

export default {
  // The contract of the API server in memory is run on the node itself, by a story.
  files: [isContract ? 'test/e2e/contract/*.test.ts' : 'test/e2e/stories/*.test.ts'],
  extensions: ['ts'],
  workerThreads: false,
  // One node, one story at a time: they kill its parts and measure how soon pods start.
  concurrency: 1,
  serial: !isContract,
  // Longest silence of one file. kubelet's backoff alone may last two minutes.
  timeout: '6m',
}

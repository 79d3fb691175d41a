export default {
  files: ['test/e2e/stories/*.test.ts'],
  extensions: ['ts'],
  workerThreads: false,
  // One node, one story at a time: they kill its parts and measure how soon pods start.
  concurrency: 1,
  serial: true,
  // Longest silence of one file. kubelet's backoff alone may last two minutes.
  timeout: '6m',
}

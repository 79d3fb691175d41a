export default {
  files: ['test/**/*.test.ts', '!test/e2e/**'],
  extensions: ['ts'],
  // Mount namespaces, umask and koffi belong to a process, not to a worker thread.
  workerThreads: false,
  timeout: '60s',
}

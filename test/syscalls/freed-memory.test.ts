import { spawnSync } from 'node:child_process'
import test from 'ava'

// In a process of its own: it cannot be taken back.
const FREEING = `
  const { readFileSync } = await import('node:fs')
  const [, sources] = process.argv
  const { bind } = await import(sources + '/syscalls/libc.ts')
  const { overwriteFreedMemory, releaseGarbage } = await import(sources + '/syscalls/freed-memory.ts')
  const overwrites = overwriteFreedMemory()
  const shared = Buffer.from('a').buffer.byteLength
  let isCollected = false
  const registry = new FinalizationRegistry(() => { isCollected = true })
  registry.register(Buffer.alloc(100_000), undefined)
  await new Promise((resolve) => setImmediate(resolve))
  await releaseGarbage()
  await new Promise((resolve) => setTimeout(resolve, 50))
  registry.unregister(registry)
  console.log(JSON.stringify({ overwrites, shared, isCollected }))`

test('small buffers share no memory, and garbage goes when it is told to', (t) => {
  const { stdout, stderr } = spawnSync(process.execPath, [
    '--input-type=module',
    '-e',
    FREEING,
    `${import.meta.dirname}/../../src`,
  ])
  t.is(stderr.toString(), '')
  const seen = JSON.parse(stdout.toString()) as Record<string, unknown>
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  const hasGlibc = report.header?.glibcVersionRuntime !== undefined
  t.deepEqual(seen, { overwrites: hasGlibc, shared: 1, isCollected: true })
})

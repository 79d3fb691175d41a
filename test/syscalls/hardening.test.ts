import { spawnSync } from 'node:child_process'
import test from 'ava'

// In a process of its own: it cannot be taken back.
const HARDENED = `
  const { readFileSync } = await import('node:fs')
  const [, sources] = process.argv
  const { bind } = await import(sources + '/syscalls/libc.ts')
  const { disableCoreDumps } = await import(sources + '/syscalls/hardening.ts')
  const PR_GET_DUMPABLE = 3
  const prctl = bind('prctl', 'int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)')
  disableCoreDumps()
  const limits = readFileSync('/proc/thread-self/limits', 'utf8').split('\\n')
  const core = limits.find((line) => line.startsWith('Max core file size'))
  console.log(JSON.stringify({ dumpable: prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), core }))`

test('a hardened process dumps no core and cannot be made to', (t) => {
  const { stdout, stderr } = spawnSync(process.execPath, [
    '--input-type=module',
    '-e',
    HARDENED,
    `${import.meta.dirname}/../../src`,
  ])
  t.is(stderr.toString(), '')
  const { dumpable, core } = JSON.parse(stdout.toString()) as { dumpable: number; core: string }
  t.is(dumpable, 0)
  t.regex(core, /^Max core file size +0 +0 +bytes/)
})

import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'

const MAIN = join(import.meta.dirname, '../../src/main.ts')

function leftovers(): readonly string[] {
  return readdirSync('/dev/shm').filter((name) => name.startsWith('latchkey-'))
}

test('the demo tells its story, ends by itself with exit code 0 and leaves nothing', (t) => {
  const before = leftovers()
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, 'demo'], {
    encoding: 'utf8',
    timeout: 50_000,
  })
  t.is(status, 0, stdout + stderr)
  for (const line of [
    /^Volumes are real tmpfs mounts|plain folders stand in for tmpfs/m,
    /token reviewed by the API server: 1 TokenReview/,
    /reads the new password \d+ ms later/,
    /AccessDenied: secrets "db" is forbidden/,
    /kubectl -n shop create role /,
    /files zeroed, volume unmounted, folder gone/,
    /^ {3}latchkey_host_publishes_total\{.*\} 1$/m,
    /^All of it happened as told\./m,
  ]) {
    t.regex(stdout, line)
  }
  t.is(stderr, '')
  t.false(stdout.includes('first-password') || stdout.includes('second-password'))
  t.deepEqual(leftovers(), before)
})

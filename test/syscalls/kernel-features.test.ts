import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { probeKernel, refuseSwap } from '../../src/syscalls/kernel-features.ts'
import { mountTest } from '../support/mount-namespace.ts'

const HEADINGS = 'Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n'
const SWAP_ON = `${HEADINGS}/dev/sda2                               partition\t1048572\t0\t-2\n`

/** Answers in a process of its own, which may be wrapped: `{ noswap }`, or `{ reason, message }`. */
function probeElsewhere(wrap: readonly string[], before = ''): unknown {
  const script = `
    const { probeKernel } = await import('${import.meta.dirname}/../../src/syscalls/kernel-features.ts')
    ${before}
    let answer
    try { answer = probeKernel() }
    catch ({ reason, message }) { answer = { reason, message } }
    console.log(JSON.stringify(answer))`
  const command: readonly string[] = [
    ...wrap,
    process.execPath,
    '--input-type=module',
    '-e',
    script,
  ]
  const { stdout, stderr } = spawnSync(command[0] ?? '', command.slice(1))
  if (stdout.length === 0) throw new Error(stderr.toString())
  return JSON.parse(stdout.toString())
}

mountTest('a probe answers and leaves neither a mount nor a descriptor', (t) => {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
  const descriptors = readdirSync('/proc/self/fd').length
  t.is(typeof probeKernel().noswap, 'boolean')
  t.is(readFileSync('/proc/self/mountinfo', 'utf8'), mounts)
  t.is(readdirSync('/proc/self/fd').length, descriptors)
})

const mayUnshare = spawnSync('unshare', ['-Urm', 'true']).status === 0
const userNamespaceTest = mayUnshare ? test : test.skip

// The kernel refuses noswap there, as one that does not know it would.
userNamespaceTest('a kernel without noswap is told apart (needs user namespaces)', (t) => {
  t.deepEqual(probeElsewhere(['unshare', '-Urm']), { noswap: false })
})

test('without noswap, swap that is on is refused by name; all else is fine', (t) => {
  const error = t.throws(
    () => {
      refuseSwap({ noswap: false }, SWAP_ON)
    },
    { instanceOf: LatchkeyError },
  )
  t.is(error.reason, 'Unsupported')
  t.regex(error.message, /noswap.*swap is on.*volumes\.allowSwap/)
  t.notThrows(() => {
    refuseSwap({ noswap: false }, HEADINGS)
    refuseSwap({ noswap: true }, SWAP_ON)
  })
})

test('a process that may not mount is told what it needs', (t) => {
  const giveUpRoot = `
    const { bind } = await import('${import.meta.dirname}/../../src/syscalls/libc.ts')
    const LINUX_CAPABILITY_VERSION_3 = 0x20080522
    const header = Buffer.alloc(8)
    header.writeUInt32LE(LINUX_CAPABILITY_VERSION_3)
    bind('capset', 'int capset(void *, void *)')(header, Buffer.alloc(24))`
  const answer = probeElsewhere([], giveUpRoot)
  t.like(answer, { reason: 'Unsupported' })
  t.regex((answer as { message: string }).message, /needs root and a privileged container/)
})

import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import type { RefreshOutcome } from '../../src/wire/gen/latchkey/mount/v1/RefreshOutcome.ts'
import type { RefreshRequest__Output } from '../../src/wire/gen/latchkey/mount/v1/RefreshRequest.ts'
import { worldWith } from './scripted-daemon.ts'

const POD = { namespace: 'shop', name: 'api-0', uid: 'u', serviceAccount: 'api' }
const UNCHANGED: RefreshOutcome = { volumeId: 'csi-1', pod: POD }
const CHANGED: RefreshOutcome = { volumeId: 'csi-2', pod: POD, changed: true }
const FAILED: RefreshOutcome = {
  volumeId: 'csi-3',
  pod: POD,
  reason: 'AccessDenied',
  message: 'refused\nTo allow it:',
}

for (const [argv, asked] of [
  [['csi-1'], { volumeId: 'csi-1', choice: 'volumeId' }],
  [['--pod', 'shop/api-0'], { pod: { namespace: 'shop', name: 'api-0' }, choice: 'pod' }],
  [['--source', 'kubernetes'], { source: 'kubernetes', choice: 'source' }],
] as const) {
  test(`refresh ${argv.join(' ')} asks the daemon for just that`, async (t) => {
    const heard: RefreshRequest__Output[] = []
    const world = await worldWith(t, {
      refresh: (request) => {
        heard.push(request)
        return { volumes: [UNCHANGED] }
      },
    })
    const { code, stdout, stderr } = await world.latchkey('refresh', ...argv)
    t.deepEqual([code, stdout, stderr], [0, 'shop/api-0 csi-1: unchanged\n', ''])
    t.deepEqual(JSON.parse(JSON.stringify(heard)), [asked])
  })
}

test('refresh says what became of each volume, and fails where one could not be', async (t) => {
  const world = await worldWith(t, { refresh: () => ({ volumes: [UNCHANGED, CHANGED, FAILED] }) })
  t.deepEqual(await world.latchkey('refresh', '--source', 'kubernetes'), {
    code: 1,
    stdout:
      'shop/api-0 csi-1: unchanged\n' +
      'shop/api-0 csi-2: refreshed\n' +
      'shop/api-0 csi-3: failed: AccessDenied: refused To allow it:\n',
    stderr: '',
  })
})

test('refresh of what is not there fails in the words of the daemon', async (t) => {
  const world = await worldWith(t, {
    refresh: () => {
      throw new LatchkeyError('VolumeNotFound', 'no volume of this node fits')
    },
  })
  t.deepEqual(await world.latchkey('refresh', 'csi-9'), {
    code: 1,
    stdout: '',
    stderr: 'latchkey: error: no volume of this node fits\n',
  })
})

test('refresh fails where the daemon is away', async (t) => {
  const { code, stderr } = await (await worldWith(t)).latchkey('refresh', 'csi-9')
  t.is(code, 1)
  t.regex(stderr, /^latchkey: error: there is no socket /)
})

const WHICH = 'refresh: say which volumes: VOLUME_ID, --pod NAMESPACE/NAME or --source NAME'

for (const [argv, message] of [
  [[], WHICH],
  [['csi-1', '--source', 'x'], `${WHICH}; only one of them`],
  [['--pod', 'shop/api-0', '--source', 'x'], `${WHICH}; only one of them`],
  [['--pod', 'api-0'], 'refresh: --pod takes NAMESPACE/NAME, such as shop/api-0, not "api-0"'],
  [['--pod', 'a/b/c'], 'refresh: --pod takes NAMESPACE/NAME, such as shop/api-0, not "a/b/c"'],
  [['--pod', 'A/b'], 'refresh: --pod takes NAMESPACE/NAME, such as shop/api-0, not "A/b"'],
] as const) {
  test(`refresh ${argv.join(' ')} is a wrong command line: ${message}`, async (t) => {
    const world = await worldWith(t)
    t.deepEqual(await world.latchkey('refresh', ...argv), {
      code: 2,
      stdout: '',
      stderr: `latchkey: error: ${message}\nlatchkey: hint: latchkey list names volumes and pods of this node\n`,
    })
  })
}

test('refresh takes one volume', async (t) => {
  const { code, stderr } = await (await worldWith(t)).latchkey('refresh', 'csi-1', 'csi-2')
  t.is(code, 2)
  t.regex(stderr, /^latchkey: error: refresh: what is "csi-2"\?\n/)
})

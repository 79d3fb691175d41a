import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { dirname, join } from 'node:path'
import test from 'ava'
import { configFileOf } from '../../src/cli/config-file.ts'
import { askDaemonAt } from '../../src/cli/daemon-call.ts'
import { LatchkeyError } from '../../src/core/errors.ts'
import type { VolumeStatus } from '../../src/wire/gen/latchkey/mount/v1/VolumeStatus.ts'
import { tempDir } from '../support/temp-dir.ts'
import { worldWith } from './scripted-daemon.ts'

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const UID = '3f2b6a6e-5b1d-4c7e-9a51-0d9c5e2f7a10'

function statusOf(changes: VolumeStatus = {}): VolumeStatus {
  const nowMs = Date.now()
  return {
    volumeId: 'csi-0001',
    targetPath: `/var/lib/kubelet/pods/${UID}/volumes/kubernetes.io~csi/db/mount`,
    pod: { namespace: 'shop', name: 'api-0', uid: UID, serviceAccount: 'api' },
    state: 'VOLUME_FRESH',
    generation: 3,
    changedAtMs: nowMs - 30.5 * HOUR_MS,
    checkedAtMs: nowMs - 12.5 * MINUTE_MS,
    nextLookAtMs: 0,
    ...changes,
  }
}

test('list shows a line per volume, and no column for reasons where there is none', async (t) => {
  const world = await worldWith(t, { list: () => ({ volumes: [statusOf()] }) })
  t.deepEqual(await world.latchkey('list'), {
    code: 0,
    stderr: '',
    stdout:
      'POD          VOLUME   GENERATION   AGE   CHECKED   NEXT LOOK   STATE\n' +
      'shop/api-0   db       3            30h   12m ago   watched     fresh\n',
  })
})

test('list leaves open what is not known, and says why a volume is not fresh', async (t) => {
  const unknown = { generation: 0, changedAtMs: 0, checkedAtMs: 0 }
  const volumes = [
    statusOf({ nextLookAtMs: Date.now() + 45.5 * MINUTE_MS }),
    statusOf({
      state: 'VOLUME_STALE',
      nextLookAtMs: 1,
      reason: 'SecretNotFound',
      message: 'Secret "db" does not exist\nTo mend it:\u001b[2J',
    }),
    statusOf({
      pod: { namespace: '', name: '', uid: UID, serviceAccount: '' },
      state: 'VOLUME_STRANDED',
      message: 'nothing proves that its processes have ended',
      ...unknown,
    }),
  ]
  const world = await worldWith(t, { list: () => ({ volumes }) })
  const { stdout } = await world.latchkey('list', '--output', 'text')
  t.deepEqual(stdout.split('\n'), [
    `POD                                        VOLUME   GENERATION   AGE   CHECKED   NEXT LOOK   STATE      REASON`,
    `shop/api-0                                 db       3            30h   12m ago   in 45m      fresh`,
    `shop/api-0                                 db       3            30h   12m ago   now         stale      SecretNotFound: Secret "db" does not exist`,
    `uid:${UID}   db       -            -     -         -           stranded   nothing proves that its processes have ended`,
    '',
  ])
})

test('list in JSON has every field of every volume, times in RFC 3339', async (t) => {
  const volumes = [
    statusOf({
      changedAtMs: Date.UTC(2026, 10, 21, 9, 0, 0, 5),
      checkedAtMs: Date.UTC(2026, 10, 21, 9, 1),
      nextLookAtMs: Date.UTC(2026, 10, 21, 9, 2),
    }),
    { volumeId: 'csi-0002', targetPath: '/odd', state: 'VOLUME_STRANDED' as const, reason: 'X' },
  ]
  const world = await worldWith(t, { list: () => ({ volumes }) })
  const { code, stdout } = await world.latchkey('list', '--output=json')
  t.is(code, 0)
  t.deepEqual(JSON.parse(stdout), {
    volumes: [
      {
        namespace: 'shop',
        pod: 'api-0',
        uid: UID,
        serviceAccount: 'api',
        volume: 'db',
        volumeId: 'csi-0001',
        targetPath: `/var/lib/kubelet/pods/${UID}/volumes/kubernetes.io~csi/db/mount`,
        state: 'fresh',
        generation: 3,
        changedAt: '2026-11-21T09:00:00.005Z',
        checkedAt: '2026-11-21T09:01:00.000Z',
        nextLookAt: '2026-11-21T09:02:00.000Z',
        watched: false,
        reason: null,
        message: null,
      },
      {
        namespace: null,
        pod: null,
        uid: null,
        serviceAccount: null,
        volume: null,
        volumeId: 'csi-0002',
        targetPath: '/odd',
        state: 'stranded',
        generation: null,
        changedAt: null,
        checkedAt: null,
        nextLookAt: null,
        watched: false,
        reason: 'X',
        message: null,
      },
    ],
  })
})

test('list shows only the namespace and the pod that were asked for', async (t) => {
  const pod = (namespace: string, name: string) =>
    statusOf({
      volumeId: `${namespace}/${name}`,
      pod: { namespace, name, uid: UID, serviceAccount: 'default' },
    })
  const volumes = [pod('shop', 'api-0'), pod('shop', 'api-1'), pod('bank', 'api-0')]
  const world = await worldWith(t, { list: () => ({ volumes }) })
  const idsOf = async (...flags: readonly string[]): Promise<readonly string[]> => {
    const { stdout } = await world.latchkey('list', '--output', 'json', ...flags)
    return (JSON.parse(stdout) as { volumes: { volumeId: string }[] }).volumes.map(
      ({ volumeId }) => volumeId,
    )
  }
  t.deepEqual(await idsOf('--namespace', 'shop'), ['shop/api-0', 'shop/api-1'])
  t.deepEqual(await idsOf('--pod', 'api-0'), ['shop/api-0', 'bank/api-0'])
  t.deepEqual(await idsOf('--pod', 'api-0', '--namespace', 'bank'), ['bank/api-0'])
  t.deepEqual(await idsOf('--pod', 'none'), [])
  const { code, stdout } = await world.latchkey('list', '--pod', 'none')
  t.deepEqual([code, stdout], [0, 'None of the 3 volumes of this node fits.\n'])
})

test('list says so where there is no volume', async (t) => {
  const world = await worldWith(t, { list: () => ({ volumes: [] }) })
  t.deepEqual(await world.latchkey('list'), {
    code: 0,
    stdout: 'No volumes on this node.\n',
    stderr: '',
  })
  t.is((await world.latchkey('list', '--output', 'json')).stdout, '{\n  "volumes": []\n}\n')
})

test('list says where nobody is there to ask', async (t) => {
  const world = await worldWith(t)
  const { code, stdout, stderr } = await world.latchkey('list')
  t.deepEqual([code, stdout], [1, ''])
  t.is(
    stderr,
    `latchkey: error: there is no socket ${world.socket}: the daemon has not started, or listens elsewhere (sockets.mount in the configuration)\n`,
  )
})

test('list tells a daemon that has ended from one that never started', async (t) => {
  const world = await worldWith(t)
  mkdirSync(dirname(world.socket))
  // A file that is no socket refuses connections as a socket does that nobody listens on.
  writeFileSync(world.socket, '')
  const { code, stderr } = await world.latchkey('list')
  t.is(code, 1)
  t.is(stderr, `latchkey: error: nobody listens at ${world.socket}: the daemon has ended\n`)
})

test('list says that the daemon turned the caller away', async (t) => {
  const world = await worldWith(t, { admits: false })
  const { code, stderr } = await world.latchkey('list')
  t.is(code, 1)
  t.regex(
    stderr,
    process.getuid?.() === 0
      ? /^latchkey: error: the daemon at \S+ hung up: it is stopping, or has too many connections\n$/
      : /does not answer uid \d+; the daemon answers root alone: run this in the host container\n/,
  )
})

const asRoot = process.getuid?.() === 0
// Serial: until the question is over the whole process is somebody else.
const asNobody = asRoot ? test.serial : test.serial.skip
asNobody('list by another user names the container to run it in (only root can try)', async (t) => {
  const world = await worldWith(t, { admits: false })
  chmodSync(world.folder, 0o755)
  const locked = await askAs(65_532, world.socket)
  t.regex(locked, /^uid 65532 may not reach the socket \S+; the daemon/)
  t.regex(locked, /\n *kubectl -n latchkey-system exec ds\/latchkey -c host -- latchkey/)
  chmodSync(dirname(world.socket), 0o755)
  chmodSync(world.socket, 0o666)
  const turnedAway = await askAs(65_532, world.socket)
  t.regex(turnedAway, /^the daemon at \S+ does not answer uid 65532; the/)
})

/** Why the question is refused. Only from the first byte on: another user may not even read where this project lies. */
async function askAs(uid: number, socket: string): Promise<string> {
  try {
    await askDaemonAt(socket, (client) => {
      process.seteuid?.(uid)
      return client.list(5_000)
    })
    return 'answered'
  } catch (thrown) {
    return LatchkeyError.from(thrown).message
  } finally {
    process.seteuid?.(0)
  }
}

test('a daemon that takes the connection and says nothing is given up on', async (t) => {
  const world = await worldWith(t)
  mkdirSync(dirname(world.socket))
  const sockets = new Set<Socket>()
  const server = createServer((socket) => sockets.add(socket))
  await new Promise<void>((resolve) => server.listen(world.socket, resolve))
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const error = await t.throwsAsync(
    askDaemonAt(world.socket, (client) => client.list(100)),
    { instanceOf: LatchkeyError },
  )
  t.is(error.reason, 'Timeout')
})

test('list passes on why the daemon refuses', async (t) => {
  const world = await worldWith(t, {
    list: () => {
      throw new LatchkeyError('ShuttingDown', 'the daemon is stopping')
    },
  })
  t.deepEqual(await world.latchkey('list'), {
    code: 1,
    stdout: '',
    stderr: 'latchkey: error: the daemon is stopping\n',
  })
})

test('list says that an older daemon does not know the question', async (t) => {
  const world = await worldWith(t, {})
  const { code, stderr } = await world.latchkey('list')
  t.is(code, 1)
  t.regex(stderr, /the daemon does not know this call: it is of another version/)
})

test('list refuses a format that it does not know', async (t) => {
  const world = await worldWith(t)
  t.deepEqual(await world.latchkey('list', '--output', 'jsno'), {
    code: 2,
    stdout: '',
    stderr:
      'latchkey: error: list: --output takes text or json, not "jsno"\n' +
      'latchkey: hint: did you mean "json"?\n',
  })
})

test('a configuration that cannot be read ends list with the line that is wrong', async (t) => {
  const world = await worldWith(t)
  writeFileSync(world.config, 'sokets: {}\n')
  const { code, stderr } = await world.latchkey('list')
  t.is(code, 1)
  t.true(stderr.includes(`${world.config}:1:1: unknown word "sokets"`), stderr)
})

test('without --config the installed configuration is read, where there is one', (t) => {
  const installed = join(tempDir(t), 'config.yaml')
  t.is(configFileOf(new Map(), installed), undefined)
  writeFileSync(installed, '')
  t.is(configFileOf(new Map(), installed), installed)
  t.is(configFileOf(new Map([['config', '/other.yaml']]), installed), '/other.yaml')
})

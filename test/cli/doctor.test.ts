import { writeFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { runDoctor } from '../../src/cli/doctor.ts'
import type { NodeView } from '../../src/cli/node-view.ts'
import { readVersion } from '../../src/cli/version.ts'
import { LatchkeyError } from '../../src/core/errors.ts'
import type { DiagnoseResponse } from '../../src/wire/gen/latchkey/mount/v1/DiagnoseResponse.ts'
import { RecordingTerminal } from './recording-terminal.ts'
import { worldWith, type CommandWorld, type Said } from './scripted-daemon.ts'

const MIB = 1024 ** 2
const PODS = '/var/lib/kubelet/pods'

/** A host container in which all is as it should be. */
const GOOD: NodeView = {
  uid: 0,
  swaps: 'Filename Type Size Used Priority\n',
  mountinfo: [
    '20 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw',
    `31 20 8:1 ${PODS} ${PODS} rw,relatime shared:7 - ext4 /dev/sda1 rw`,
  ].join('\n'),
  isFolder: () => true,
  probeKernel: () => ({ noswap: true }),
  readMemory: () => ({ usedBytes: 50.5 * MIB, limitBytes: 320 * MIB }),
  lifeOfOwnPod: () => Promise.resolve({ is: 'alive', processes: 2 }),
}

const WELL: DiagnoseResponse = {
  version: readVersion(),
  findings: [{ check: 'API server answers', grade: 'GRADE_OK', detail: 'v1.35.1, in 4 ms' }],
}

async function doctor(
  { config }: CommandWorld,
  node: Partial<NodeView> = {},
  output = 'text',
): Promise<Said> {
  const terminal = new RecordingTerminal()
  const flags = new Map([
    ['config', config],
    ['output', output],
  ])
  const code = await runDoctor({ flags, operands: [], terminal }, { ...GOOD, ...node })
  return { code, stdout: terminal.stdout, stderr: terminal.stderr }
}

/** The lines about a check of that name. */
function about(check: string, { stdout }: Said): readonly string[] {
  const lines = stdout.split('\n')
  const at = lines.findIndex((line) => line.includes(`  ${check}: `))
  return lines.slice(at, lines[at + 1]?.startsWith('         fix: ') === true ? at + 2 : at + 1)
}

test('doctor finds nothing to say of a node on which all is well', async (t) => {
  const world = await worldWith(t, { diagnose: () => WELL })
  const { code, stdout, stderr } = await doctor(world)
  t.deepEqual([code, stderr], [0, ''])
  const kernel = /Linux \S+,/.exec(stdout)?.[0] ?? ''
  t.deepEqual(stdout.split('\n'), [
    `ok       configuration can be read: ${world.config}`,
    'ok       runs as root in the host container: this is uid 0',
    `ok       kernel keeps secrets in memory: ${kernel} tmpfs with noswap`,
    `ok       folder of kubelet is mounted and shared: ${PODS}, on the shared mount ${PODS}`,
    'ok       plugin registry of kubelet is there: /var/lib/kubelet/plugins_registry',
    'ok       host container has memory for its files: 51 MiB used of 320 MiB, limits.nodeBytes is 64 MiB',
    'ok       cgroups of the node are visible: its own pod is seen among them',
    `ok       daemon answers: at ${world.socket}`,
    `ok       daemon is of the same version as this program: ${readVersion()}`,
    'ok       API server answers: v1.35.1, in 4 ms',
    '',
    '10 ok',
    '',
  ])
})

test('doctor in JSON has every check with grade, detail and fix', async (t) => {
  const world = await worldWith(t, {
    diagnose: () => ({
      version: '9.9.9',
      findings: [{ check: 'a', grade: 'GRADE_FAILED', detail: 'b', fix: 'c' }],
    }),
  })
  const { code, stdout } = await doctor(world, {}, 'json')
  t.is(code, 1)
  const found = JSON.parse(stdout) as { checks: Record<string, unknown>[] }
  t.like(found, { version: readVersion(), daemonVersion: '9.9.9' })
  t.deepEqual(found.checks.at(-1), {
    check: 'a',
    foundBy: 'daemon',
    grade: 'failed',
    detail: 'b',
    fix: 'c',
  })
  t.deepEqual(found.checks[1], {
    check: 'runs as root in the host container',
    foundBy: 'node',
    grade: 'ok',
    detail: 'this is uid 0',
    fix: null,
  })
  t.deepEqual(found.checks.at(-2), {
    check: 'daemon is of the same version as this program',
    foundBy: 'node',
    grade: 'warning',
    detail: `this is ${readVersion()}, the daemon is 9.9.9`,
    fix: 'give both containers of the DaemonSet the same image',
  })
})

test('doctor looks at the node also while the daemon is away, and says how to find out why', async (t) => {
  const world = await worldWith(t)
  const said = await doctor(world)
  t.is(said.code, 1)
  t.is(about('kernel keeps secrets in memory', said)[0]?.slice(0, 2), 'ok')
  t.deepEqual(about('daemon answers', said), [
    `failed   daemon answers: there is no socket ${world.socket}: the daemon has not started, or listens elsewhere (sockets.mount in the configuration)`,
    '         fix: what the daemon would find is not known before it answers; see what it says: kubectl -n latchkey-system logs ds/latchkey -c daemon, and with --previous',
  ])
  t.true(said.stdout.endsWith('\n1 failed, 1 skipped, 7 ok\n'))
  const { stdout } = await doctor(world, {}, 'json')
  t.is((JSON.parse(stdout) as { daemonVersion: unknown }).daemonVersion, null)
})

test('doctor names a configuration that is broken, and looks at the rest all the same', async (t) => {
  const world = await worldWith(t)
  writeFileSync(world.config, 'sokets: {}\n')
  const said = await doctor(world)
  t.deepEqual(about('configuration can be read', said), [
    `failed   configuration can be read: ${world.config}:1:1: unknown word "sokets", did you mean "sockets"?`,
    `         fix: latchkey check ${world.config} lists all that is wrong with it`,
  ])
  t.deepEqual(about('runs as root in the host container', said), [
    'ok       runs as root in the host container: this is uid 0',
  ])
})

test('doctor in another container says where to run it', async (t) => {
  const said = await doctor(await worldWith(t, { diagnose: () => WELL }), { uid: 65_532 })
  t.is(said.code, 1)
  t.deepEqual(about('runs as root in the host container', said), [
    'failed   runs as root in the host container: this is uid 65532',
    '         fix: kubectl -n latchkey-system exec ds/latchkey -c host -- latchkey doctor',
  ])
  t.true(said.stdout.endsWith('\n1 failed, 5 skipped, 4 ok\n'))
})

const SWAP_ON = 'Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n'

/** A finding of a node that differs from a good one in so much. */
function finds(
  title: string,
  node: Partial<NodeView>,
  check: string,
  lines: readonly RegExp[],
  config = '',
): void {
  test(title, async (t: ExecutionContext) => {
    const world = await worldWith(t, { diagnose: () => WELL })
    writeFileSync(world.config, `sockets:\n  mount: ${world.socket}\n${config}`)
    const said = await doctor(world, node)
    const seen = about(check, said)
    t.is(seen.length, lines.length, seen.join('\n'))
    for (const [index, line] of lines.entries()) t.regex(seen[index] ?? '', line)
    t.is(said.code, seen[0]?.startsWith('failed') === true ? 1 : 0)
  })
}

const KERNEL = 'kernel keeps secrets in memory'
const noNoswap = { probeKernel: () => ({ noswap: false }) }

finds('doctor lets a kernel without noswap pass while swap is off', noNoswap, KERNEL, [
  /^ok .*no noswap for tmpfs, swap is off$/,
])
finds(
  'doctor fails a kernel without noswap while swap is on',
  { ...noNoswap, swaps: SWAP_ON },
  KERNEL,
  [/^failed .*swap is on: switch swap off/, /fix: new volumes are refused/],
)
finds(
  'doctor warns of swap that the configuration accepts',
  { ...noNoswap, swaps: SWAP_ON },
  KERNEL,
  [/^warning .*volumes\.allowSwap accepts it$/, /fix: switch swap off/],
  'volumes:\n  allowSwap: true\n',
)
finds(
  'doctor fails a kernel that cannot mount as volumes need it',
  {
    probeKernel: () => {
      throw new LatchkeyError('Unsupported', 'kernel 5.4 is too old: Linux 5.12 or newer is needed')
    },
  },
  KERNEL,
  [/^failed .*kernel 5\.4 is too old/, /fix: /],
)

const FOLDER = 'folder of kubelet is mounted and shared'

finds(
  'doctor fails a folder of kubelet that is not there',
  { isFolder: (path) => path !== PODS },
  FOLDER,
  [/^failed .*there is no folder \/var\/lib\/kubelet\/pods$/, /fix: set kubelet\.root/],
)
finds(
  'doctor fails a mount whose volumes no pod would see',
  { mountinfo: `31 20 8:1 ${PODS} ${PODS} rw master:7 - ext4 /dev/sda1 rw,shared:1` },
  FOLDER,
  [/^failed .*is not shared: pods would not see their volumes$/, /fix: .*Bidirectional/],
)
finds(
  'doctor takes the folder of kubelet to lie on the last mount that covers it',
  {
    mountinfo: [
      '20 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw',
      `21 20 8:1 / ${PODS}-not rw - ext4 /dev/sda1 rw`,
    ].join('\n'),
  },
  FOLDER,
  [/^ok .*on the shared mount \/$/],
)
finds(
  'doctor fails a plugin registry that is not there',
  { isFolder: (path) => path === PODS },
  'plugin registry of kubelet is there',
  [/^failed .*plugins_registry$/, /fix: /],
)

const MEMORY = 'host container has memory for its files'

finds(
  'doctor warns of a memory limit under which changing files do not fit',
  { readMemory: () => ({ usedBytes: MIB, limitBytes: 200 * MIB }) },
  MEMORY,
  [/^warning .*1 MiB used of 200 MiB, limits\.nodeBytes is 64 MiB$/, /fix: raise .* to 320Mi, or/],
)
finds(
  'doctor fails a memory limit under which files do not fit at all',
  { readMemory: () => ({ usedBytes: MIB, limitBytes: 64 * MIB }) },
  MEMORY,
  [/^failed /, /fix: raise /],
)
finds(
  'doctor lets a container without a memory limit pass',
  { readMemory: () => ({ usedBytes: MIB, limitBytes: undefined }) },
  MEMORY,
  [/^ok .*1 MiB used, no limit$/],
)
finds('doctor skips memory that it cannot see', { readMemory: () => undefined }, MEMORY, [
  /^skipped /,
])

const CGROUPS = 'cgroups of the node are visible'

for (const [life, why] of [
  [undefined, /POD_UID is not set$/],
  [{ is: 'empty' }, /its own pod is not among them$/],
  [{ is: 'unknown', why: 'this host cannot see its own cgroup' }, /cannot see its own cgroup$/],
] as const) {
  finds(
    `doctor warns where the cgroups prove nothing: ${life?.is ?? 'outside of a pod'}`,
    { lifeOfOwnPod: () => Promise.resolve(life) },
    CGROUPS,
    [why, /fix: give the host container \/sys\/fs\/cgroup/],
  )
}

test('doctor keeps to its lines, whatever a finding says', async (t) => {
  const world = await worldWith(t, {
    diagnose: () => ({
      version: readVersion(),
      findings: [
        { check: 'a\nok', detail: 'b\u001b[2J', fix: 'c\nfailed', grade: 'GRADE_WARNING' },
      ],
    }),
  })
  const { code, stdout } = await doctor(world)
  t.is(code, 0)
  t.true(stdout.includes('\nwarning  a ok: b [2J\n         fix: c failed\n'))
})

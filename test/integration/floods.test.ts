import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import { loadCsi } from '../../src/wire/protos.ts'
import { grpcFrame, RawCaller } from '../fuzz/lanes/calls.ts'
import { issue, uidOf } from '../daemon/identity/matrix-cluster.ts'
import { PROCESS_BYTES } from '../../src/host/file-room.ts'
import { memoryLimitOf, nodeFlags } from '../support/deployment.ts'
import type { FloodedSide } from './flooded-side.ts'

const FLOOD = 2_940
/** Well within what one namespace may have under way beside another that takes all it can. */
const OTHERS = 60
const CALLS_PER_CONNECTION = 100
/** What each side may have for itself; the files of all volumes are the host container's memory, too. */
const LIMITS_KIB = [memoryLimitOf('daemon') / 1024, PROCESS_BYTES / 1024]
const PROGRAM = join(import.meta.dirname, 'flooded-side.ts')
const { NodePublishVolume } = loadCsi().Node.service
const OK = '0 OK'
const OVERLOADED = '8 Overloaded'
const TOO_LATE = '4 Timeout'

interface Node {
  readonly kubeletRoot: string
  readonly pids: readonly number[]
  call(namespace: string, index: number): Promise<string>
}

/** Both sides, each in a process of its own; the API server takes 20 ms for each question. */
async function startNode(t: ExecutionContext): Promise<Node> {
  const folder = mkdtempSync('/tmp/lk-')
  const kubeletRoot = join(folder, 'kubelet')
  mkdirSync(join(kubeletRoot, 'plugins_registry'), { recursive: true, mode: 0o750 })
  const common = { kubeletRoot, mountSocket: join(folder, 'm/mount.sock') }
  const start = async (side: FloodedSide['side']): Promise<ChildProcess> => {
    const options: FloodedSide = { side, ...common }
    const child = fork(PROGRAM, [JSON.stringify(options)], { execArgv: [...nodeFlags()] })
    t.teardown(async () => {
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    })
    await once(child, 'message')
    return child
  }
  t.teardown(() => {
    rmSync(folder, { recursive: true, force: true })
  })
  const sides = [await start('daemon'), await start('host')]
  const callers = new Map<number, RawCaller>()
  t.teardown(() => {
    for (const caller of callers.values()) caller.close()
  })
  let calls = 0
  const callerFor = (): RawCaller => {
    calls += 1
    const at = Math.floor(calls / CALLS_PER_CONNECTION)
    const socket = join(kubeletRoot, 'plugins/csi.latchkey.dev/csi.sock')
    const caller = callers.get(at) ?? new RawCaller(socket)
    callers.set(at, caller)
    return caller
  }
  return {
    kubeletRoot,
    pids: sides.map(({ pid = 0 }) => pid),
    async call(namespace, index) {
      const frames = [grpcFrame(publishOf(kubeletRoot, namespace, index))]
      const path = '/csi.v1.Node/NodePublishVolume'
      const { status, message } = await callerFor().call(path, frames, 120_000)
      return `${status ?? 'none'} ${message.split(':', 1)[0] ?? ''}`.trim()
    },
  }
}

/** What kubelet says for a pod of its own, with a token in the words of Kubernetes. */
function publishOf(kubeletRoot: string, namespace: string, index: number): Buffer {
  const uid = uidOf(`${namespace} ${index}`)
  const account = { namespace, name: 'api', uid: uidOf(namespace) }
  const pod = { account, name: `api-${index}`, uid, node: 'node-1', isGone: false }
  const seconds = Math.floor(Date.now() / 1000)
  const { text } = issue({
    pod,
    account,
    audiences: ['latchkey'],
    fromSeconds: seconds - 10,
    untilSeconds: seconds + 600,
    isSigned: true,
  })
  const expirationTimestamp = new Date((seconds + 600) * 1000).toISOString()
  const key = (name: string): string => `csi.storage.k8s.io/${name}`
  const tokenOf = { token: text, expirationTimestamp }
  const context = {
    secret: 'db',
    [key('pod.name')]: pod.name,
    [key('pod.namespace')]: namespace,
    [key('pod.uid')]: uid,
    [key('serviceAccount.name')]: 'api',
    [key('ephemeral')]: 'true',
  }
  const encode = NodePublishVolume.requestSerialize as unknown as (request: object) => Buffer
  return encode({
    volumeId: volumeIdOf(uid, 'db'),
    targetPath: targetOf(kubeletRoot, namespace, index),
    volumeCapability: { mount: {}, accessMode: { mode: 1 } },
    readonly: true,
    secrets: {
      [key('serviceAccount.tokens')]: Buffer.from(
        JSON.stringify({ latchkey: tokenOf, '': tokenOf }),
      ),
    },
    volumeContext: Object.fromEntries(
      Object.entries(context).map(([name, value]) => [name, Buffer.from(value)]),
    ),
  })
}

function targetOf(kubeletRoot: string, namespace: string, index: number): string {
  const uid = uidOf(`${namespace} ${index}`)
  return `${kubeletRoot}/pods/${uid}/volumes/kubernetes.io~csi/db/mount`
}

function prepare({ kubeletRoot }: Node, namespace: string, index: number): void {
  mkdirSync(join(targetOf(kubeletRoot, namespace, index), '..'), { recursive: true })
}

/** The most that a process ever had in memory, without its program, whose pages the kernel can drop. */
function peakKib(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const kib = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1])
  return kib('VmHWM') - kib('RssFile')
}

test('3,000 publishes at once: what is too much is Overloaded, no namespace starves another, memory stays in its limit', async (t) => {
  t.timeout(600_000)
  const node = await startNode(t)
  const of = (count: number): number[] => Array.from({ length: count }, (_, index) => index)
  for (const index of of(FLOOD)) prepare(node, 'loud', index)
  for (const index of of(OTHERS)) prepare(node, 'calm', index)

  const loud = of(FLOOD).map((index) => node.call('loud', index))
  const calm = of(OTHERS).map((index) => node.call('calm', index))
  const [loudEnds, calmEnds] = await Promise.all([Promise.all(loud), Promise.all(calm)])
  const peaks = node.pids.map(peakKib)
  t.log({ loud: tally(loudEnds), calm: tally(calmEnds), peakMib: peaks.map((kib) => kib >> 10) })

  t.deepEqual(tally(calmEnds), { [OK]: OTHERS })
  const { [OK]: served = 0, [OVERLOADED]: refused = 0, [TOO_LATE]: late = 0 } = tally(loudEnds)
  // Too late is only who was let in and found the machine busy for most of a minute.
  t.is(served + refused + late, FLOOD)
  t.true(served > 0)
  t.true(refused > 0)
  t.true(peaks.every((kib, side) => kib > 0 && kib < (LIMITS_KIB[side] ?? 0)))
  // kubelet comes again, and there is room.
  const again = loudEnds.findIndex((end) => end !== OK)
  t.is(await node.call('loud', again), OK)
})

function tally(ends: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const end of ends) counts[end] = (counts[end] ?? 0) + 1
  return counts
}

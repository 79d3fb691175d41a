import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { loadConfig } from '../../src/config/load.ts'
import { startMinicluster, type Minicluster } from '../../src/minicluster/minicluster.ts'
import type { StoredPod } from '../../src/minicluster/pod-store.ts'
import { Canaries, summarize, type Owned } from '../support/canaries.ts'
import { needlesOf, scanMemory, type Find } from '../support/process-memory.ts'
import { SideProcess } from '../support/side-process.ts'
import { until } from '../support/until.ts'

/*
 * What is left in memory when the last pod of a service account has left. Copies that are ours are zeroed at
 * the end of their use. What libraries copied on the way (messages and their frames, socket reads, headers) is
 * overwritten when it is freed, and freed at the latest by `releaseGarbage`. Then no value is left, but for
 * the first of these exceptions:
 *
 * - The HTTP parser (undici's, in WebAssembly) has a buffer of its own, which nobody else can reach, and
 *   Node hands over what TLS decrypted by way of the stack. The last piece of an answer, 16 KiB at most, stays
 *   there until the next answer, whosever that is.
 * - Tokens, of no use to anybody: the API server rejects them once their pod is gone. V8 does not clear the
 *   stack, nor text that something still refers to, such as the last request of a connection that is kept
 *   alive. glibc keeps freed pieces of up to 1 KiB, seven of a size, unwritten for their next use (tcache):
 *   the bodies of TokenReviews are such, and frames with tokens in them.
 *
 * While a pod lives its tokens are in both processes, and in the host side, within grpc-js, the last message
 * with its files, which are in the pod's tmpfs as well.
 */
const MOST_TOKEN_COPIES = 24

/** A cluster in memory; each side of Latchkey a process. Service accounts `api` and `web`, each with a Secret. */
interface World {
  readonly cluster: Minicluster
  readonly canaries: Canaries
  readonly daemon: SideProcess
  readonly host: SideProcess
}

async function startWorld(t: ExecutionContext): Promise<World> {
  const folder = mkdtempSync('/tmp/lk-')
  const cluster = await startMinicluster({ root: folder, kubelet: { syncIntervalMs: 500 } })
  const { kubeletRoot, nodeName, kubeconfigFile, objects } = cluster
  const config = {
    ...loadConfig({}),
    kubelet: { root: kubeletRoot },
    sockets: { mount: join(folder, 'm/mount.sock') },
    http: { address: '127.0.0.1', port: 0 },
  }
  const canaries = new Canaries(objects)
  for (const name of ['api', 'web']) {
    const grant = { namespace: 'shop', serviceAccount: name, secrets: [`db-${name}`] }
    objects.createServiceAccount({ namespace: 'shop', name })
    objects.grant({ ...grant, verbs: ['get', 'watch'] })
    canaries.change(name)
  }
  const common = { config, nodeName, kubeconfigFile }
  const [daemon, host] = await Promise.all([
    SideProcess.start({ side: 'daemon', ...common }),
    SideProcess.start({ side: 'host', ...common }),
  ])
  t.teardown(async () => {
    await cluster.kubelet.drain().catch(() => undefined)
    await Promise.all([host.stop(), daemon.stop()])
    await cluster.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  await cluster.kubelet.untilRegistered('csi.latchkey.dev')
  return { cluster, canaries, daemon, host }
}

async function addPod({ cluster }: World, serviceAccount: string, name: string) {
  const volumeAttributes = { secret: `db-${serviceAccount}` }
  const csi = { driver: 'csi.latchkey.dev', readOnly: true, volumeAttributes }
  const pod = cluster.objects.createPod({
    namespace: 'shop',
    name,
    serviceAccount,
    node: cluster.nodeName,
    volumes: [{ name: 'db', csi }],
  })
  await cluster.kubelet.until(pod, 'Running')
  return pod
}

async function change({ cluster, canaries }: World, name: string, pods: readonly StoredPod[]) {
  const short = canaries.change(name)
  for (const pod of pods) {
    await until(async () => (await cluster.kubelet.readFile(pod, 'db', 'short')).equals(short), {
      what: `${pod.name} to read its new value`,
    })
  }
}

function scan({ canaries }: World, side: SideProcess): readonly Find[] {
  return scanMemory(side.pid, canaries.needles)
}

function of(finds: readonly Find[], owned: Owned): readonly Find[] {
  return finds.filter(({ name }) => name === owned)
}

/** A scan that finds nothing says something only where one finds what there is, in each form. */
async function provesItself(t: ExecutionContext, side: SideProcess): Promise<void> {
  const planted = randomBytes(32)
  const needles = needlesOf('planted', planted)
  t.deepEqual(scanMemory(side.pid, needles), [])
  await side.plant(planted)
  await side.releaseGarbage()
  const forms = new Set(scanMemory(side.pid, needles).map(({ form }) => form))
  t.deepEqual([...forms].sort(), ['base64', 'raw', 'utf16'])
}

/** Reading a child's memory is a matter of ptrace(2) and of what is in its way; overwriting it one of glibc. */
function obstacle(): string | undefined {
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } }
  if (report.header?.glibcVersionRuntime === undefined) return 'needs glibc'
  const child = spawn('sleep', ['60'], { stdio: 'ignore' })
  try {
    closeSync(openSync(`/proc/${child.pid ?? 0}/mem`, 'r'))
    return undefined
  } catch {
    return 'needs to read the memory of a child: root, or kernel.yama.ptrace_scope of at most 1'
  } finally {
    child.kill('SIGKILL')
  }
}

const missing = obstacle()

function memoryTest(title: string, implementation: (t: ExecutionContext) => Promise<void>): void {
  if (missing === undefined) test(title, implementation)
  else test.skip(`${title} (${missing})`, implementation)
}

memoryTest(
  'what was a service account’s is gone from both sides when its last pod has left',
  async (t) => {
    t.timeout(180_000)
    const world = await startWorld(t)
    const { daemon, host, cluster } = world
    const pods = [
      await addPod(world, 'api', 'api-0'),
      await addPod(world, 'api', 'api-1'),
      await addPod(world, 'api', 'api-2'),
    ]
    const stays = await addPod(world, 'web', 'web-0')
    await provesItself(t, daemon)
    for (let round = 0; round < 3; round += 1) {
      await change(world, 'web', [stays])
      await change(world, 'api', pods)
    }
    // New tokens for every pod.
    await cluster.kubelet.restart()
    await cluster.kubelet.untilRegistered('csi.latchkey.dev')
    for (const pod of [...pods, stays]) await cluster.kubelet.sync(pod)
    for (const [name, side] of Object.entries({ daemon, host })) {
      const held = scan(world, side)
      t.log(`${name}, pods running: ${summarize(held)}`)
      t.true(of(held, 'token api').length > 0, `the ${name} holds the tokens of living pods`)
    }

    for (const pod of pods) cluster.objects.deletePod(pod)
    for (const pod of pods) await cluster.kubelet.until(pod, 'Gone')
    for (const [name, side] of Object.entries({ daemon, host })) {
      t.log(`${name}, pods gone: ${summarize(scan(world, side))}`)
    }
    // The next answer that the HTTP parser takes apart.
    await change(world, 'web', [stays])
    for (const [name, side] of Object.entries({ daemon, host })) {
      await side.releaseGarbage()
      const left = scan(world, side)
      t.log(`${name}, garbage released: ${summarize(left)}`)
      t.is(summarize(of(left, 'value api')), 'nothing', `values in the ${name}`)
      const tokens = of(left, 'token api').length
      t.true(tokens <= MOST_TOKEN_COPIES, `${tokens} copies of tokens in the ${name}`)
      t.true(of(left, 'token web').length > 0, 'those of the pod that stays are in use')
    }
  },
)

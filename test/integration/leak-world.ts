import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { startMinicluster } from '../../src/minicluster/minicluster.ts'
import type { StoredPod } from '../../src/minicluster/pod-store.ts'
import { unmountLazily } from '../../src/syscalls/mount-api.ts'
import { Canaries } from '../support/canaries.ts'
import { LatchkeyProcess } from '../support/latchkey-process.ts'
import { mountsBelow } from '../support/tmpfs-world.ts'
import { until } from '../support/until.ts'

const DRIVER = 'csi.latchkey.dev'
export const SLOW_MS = 45_000

interface WorldOptions {
  readonly level: string
  /** For Node itself, of both sides. */
  readonly execArgv?: readonly string[]
}

/** Both sides as they are started in production, each a process, with secrets and tokens that are known. */
export async function startWorld(t: ExecutionContext, { level, execArgv = [] }: WorldOptions) {
  const folder = mkdtempSync('/tmp/lk-')
  const work = join(folder, 'work')
  mkdirSync(work)
  const cluster = await startMinicluster({ root: folder, kubelet: { syncIntervalMs: 500 } })
  const port = await freePort()
  const config = {
    kubelet: { root: cluster.kubeletRoot },
    sockets: { mount: join(folder, 'm/mount.sock') },
    http: { address: '127.0.0.1', port },
    kubernetes: { kubeconfig: cluster.kubeconfigFile, timeout: '2s' },
    volumes: { allowSwap: true },
    log: { level },
  }
  const file = join(folder, 'config.yaml')
  writeFileSync(file, JSON.stringify(config))
  const start = (command: string): LatchkeyProcess =>
    new LatchkeyProcess({
      args: [command, '--config', file],
      env: { NODE_NAME: cluster.nodeName },
      execArgv,
      cwd: work,
    })
  const canaries = new Canaries(cluster.objects)
  const sides = { daemon: start('daemon'), host: start('host') }
  t.teardown(async () => {
    await Promise.all([sides.daemon.stop(), sides.host.stop()])
    for (const { mountPoint } of mountsBelow(folder).toReversed()) unmountLazily(mountPoint)
    await cluster.stop().catch(() => undefined)
    rmSync(folder, { recursive: true, force: true })
  })
  for (const name of ['api', 'web']) {
    cluster.objects.createServiceAccount({ namespace: 'shop', name })
    canaries.change(name)
  }
  const grant = { namespace: 'shop', serviceAccount: 'api', secrets: ['db-api'] }
  cluster.objects.grant({ ...grant, verbs: ['get', 'watch'] })
  await until(() => cluster.kubelet.drivers.some(({ name }) => name === DRIVER), {
    what: 'both sides to be up',
    timeoutMs: SLOW_MS,
  })
  return { folder, work, file, port, cluster, canaries, sides, start }
}

export type World = Awaited<ReturnType<typeof startWorld>>

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** A pod on the node, with a volume of ours that asks for this. */
export function addPod(
  { cluster }: World,
  name: string,
  attributes: Readonly<Record<string, string>>,
) {
  const csi = { driver: DRIVER, readOnly: true, volumeAttributes: attributes }
  return cluster.objects.createPod({
    namespace: 'shop',
    name,
    serviceAccount: 'api',
    node: cluster.nodeName,
    volumes: [{ name: 'db', csi }],
  })
}

/** Where a pod finds its files; read by this process, for only its main thread sees the mounts. */
export function mountOf({ cluster }: World, { uid }: StoredPod): string {
  return `${cluster.kubeletRoot}/pods/${uid}/volumes/kubernetes.io~csi/db/mount`
}

export async function untilReads(world: World, pod: StoredPod, value: Buffer): Promise<void> {
  const read = (): boolean => {
    try {
      return readFileSync(`${mountOf(world, pod)}/short`).equals(value)
    } catch {
      return false
    }
  }
  await until(read, { what: `${pod.name} to read its value`, timeoutMs: SLOW_MS })
}

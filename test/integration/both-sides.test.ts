import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/config.ts'
import { systemClock } from '../../src/core/clock.ts'
import { createKubeClient } from '../../src/daemon/kube/create-client.ts'
import { loadKubeconfig } from '../../src/daemon/kube/kubeconfig.ts'
import { startDaemon, type RunningDaemon } from '../../src/daemon/start-daemon.ts'
import { startHost, type RunningHost } from '../../src/host/start-host.ts'
import { DirectoryStore } from '../../src/host/volume/directory-store.ts'
import { startMinicluster, type Minicluster } from '../../src/minicluster/minicluster.ts'
import { createServingPki } from '../../src/minicluster/pki.ts'
import type { StoredPod } from '../../src/minicluster/pod-store.ts'
import { createLogger } from '../../src/observability/log.ts'
import { until } from '../support/until.ts'

const pki = createServingPki()

/** Both sides over real sockets, with a cluster in memory and folders for volumes. */
class Node {
  readonly lines: string[] = []
  readonly cluster: Minicluster
  readonly #config: Config
  #daemon: RunningDaemon | undefined
  #host: RunningHost | undefined

  private constructor(cluster: Minicluster, config: Config) {
    this.cluster = cluster
    this.#config = config
  }

  static async start(t: ExecutionContext): Promise<Node> {
    const folder = mkdtempSync('/tmp/lk-')
    const kubelet = { syncIntervalMs: 200, retry: { firstMs: 50, maxMs: 400, factor: 2 } }
    const cluster = await startMinicluster({ root: folder, pki: await pki, kubelet })
    const root = cluster.kubeletRoot
    const config = {
      ...loadConfig({}),
      kubelet: { root },
      sockets: { mount: join(folder, 'm/mount.sock') },
      http: { address: '127.0.0.1', port: 0 },
    }
    const node = new Node(cluster, config)
    cluster.objects.createServiceAccount({ namespace: 'shop', name: 'api' })
    t.teardown(async () => {
      await cluster.api.up()
      if (node.#host === undefined) await node.startHost()
      await cluster.kubelet.drain()
      await node.stopHost()
      await node.stopDaemon()
      await cluster.stop()
      rmSync(folder, { recursive: true, force: true })
    })
    await node.startDaemon()
    await node.startHost()
    return node
  }

  async startDaemon(): Promise<void> {
    const connection = loadKubeconfig(this.cluster.kubeconfigFile)
    const kube = createKubeClient({ connection, clock: systemClock })
    this.#daemon = await startDaemon({ ...this.#common('daemon'), kube, shimUid: ownUid() })
  }

  async startHost(): Promise<void> {
    const now = (): Date => new Date()
    const store = new DirectoryStore({ kubeletRoot: this.cluster.kubeletRoot, now })
    this.#host = await startHost({ ...this.#common('host'), store, kubeletUid: ownUid() })
    await this.cluster.kubelet.untilRegistered('csi.latchkey.dev')
  }

  async stopDaemon(): Promise<void> {
    await this.#daemon?.stop()
    this.#daemon = undefined
  }

  async stopHost(): Promise<void> {
    await this.#host?.stop()
    this.#host = undefined
    // kubelet looks at its folder once a second; until then it believes in the former socket.
    await this.cluster.kubelet.untilRegistered('csi.latchkey.dev', false)
  }

  async metrics(): Promise<string> {
    const page = await fetch(`http://127.0.0.1:${this.#daemon?.httpPort ?? 0}/metrics`)
    return page.text()
  }

  /** Secret db of namespace shop, and a service account that may read it. */
  setSecret(password: string): void {
    const { objects } = this.cluster
    const secret = { namespace: 'shop', name: 'db', data: { password: Buffer.from(password) } }
    if (objects.secrets.get(secret) === undefined) objects.createSecret(secret)
    else objects.updateSecret(secret)
  }

  grant(): void {
    const { objects } = this.cluster
    const grant = { namespace: 'shop', serviceAccount: 'api', secrets: ['db'] }
    objects.grant({ ...grant, verbs: ['get', 'watch'] })
  }

  addPod(name = 'api-0'): StoredPod {
    const { objects, nodeName } = this.cluster
    const csi = { driver: 'csi.latchkey.dev', readOnly: true, volumeAttributes: { secret: 'db' } }
    const volumes = [{ name: 'db', csi }]
    return objects.createPod({
      namespace: 'shop',
      name,
      serviceAccount: 'api',
      node: nodeName,
      volumes,
    })
  }

  async untilReads(pod: StoredPod, password: string): Promise<void> {
    await until(
      async () => {
        const bytes = await this.cluster.kubelet.readFile(pod, 'db', 'password')
        return bytes.toString() === password
      },
      { what: `the pod to read ${password}` },
    )
  }

  #common(side: 'host' | 'daemon') {
    const write = (line: string): void => {
      this.lines.push(line)
    }
    return {
      config: this.#config,
      nodeName: this.cluster.nodeName,
      version: '0.0.0-test',
      clock: systemClock,
      log: createLogger({ level: 'debug', side, write }),
    }
  }
}

function ownUid(): number {
  return process.getuid?.() ?? -1
}

async function running(t: ExecutionContext): Promise<{ node: Node; pod: StoredPod }> {
  const node = await Node.start(t)
  node.setSecret('one')
  node.grant()
  const pod = node.addPod()
  await node.cluster.kubelet.until(pod, 'Running')
  await until(() => node.cluster.api.openWatches > 0, { what: 'the daemon to watch' })
  return { node, pod }
}

test('the daemon is replaced under a live pod: files stay, changes arrive again', async (t) => {
  const { node, pod } = await running(t)
  await node.stopDaemon()
  node.setSecret('two')
  t.is((await node.cluster.kubelet.readFile(pod, 'db', 'password')).toString(), 'one')
  await node.startDaemon()
  await node.untilReads(pod, 'two')
})

test('the host side is replaced under a live pod: it adopts the volume and resumes', async (t) => {
  const { node, pod } = await running(t)
  const reviews = node.cluster.api.counts.tokenReview
  await node.stopHost()
  node.setSecret('two')
  await node.startHost()
  await node.untilReads(pod, 'two')
  t.is(node.cluster.api.counts.tokenReview, reviews, 'a resumed session needs no new review')
})

test('both sides are replaced: kubelet’s next republish brings everything', async (t) => {
  const { node, pod } = await running(t)
  await node.stopHost()
  await node.stopDaemon()
  node.setSecret('two')
  await node.startDaemon()
  await node.startHost()
  await node.untilReads(pod, 'two')
  t.pass()
})

test('kubelet is restarted: it publishes again with new tokens, and nothing is remounted', async (t) => {
  const { node, pod } = await running(t)
  await node.cluster.kubelet.restart()
  await node.cluster.kubelet.untilRegistered('csi.latchkey.dev')
  node.setSecret('two')
  await node.untilReads(pod, 'two')
  await until(
    async () => /publishes_total\{outcome="ok",reason="none"\} [2-9]/.test(await node.metrics()),
    {
      what: 'a republish',
    },
  )
  t.pass()
})

test('republishes ask the API server nothing', async (t) => {
  const { node, pod } = await running(t)
  const before = { ...node.cluster.api.counts }
  for (let round = 0; round < 20; round += 1) await node.cluster.kubelet.sync(pod)
  await until(
    async () =>
      /publishes_total\{outcome="ok",reason="none"\} ([5-9]|\d\d)/.test(await node.metrics()),
    {
      what: 'some republishes',
    },
  )
  t.deepEqual({ ...node.cluster.api.counts }, before)
})

test('a pod that waits for its Secret starts when the Secret comes', async (t) => {
  const node = await Node.start(t)
  node.grant()
  const pod = node.addPod()
  await until(
    () =>
      node.cluster.kubelet.events(pod).some(({ message }) => message.includes('SecretNotFound')),
    {
      what: 'the refusal to show in the events',
    },
  )
  await until(() => node.cluster.api.openWatches > 0, { what: 'a later try to be held' })
  node.setSecret('late')
  await node.cluster.kubelet.until(pod, 'Running')
  t.is((await node.cluster.kubelet.readFile(pod, 'db', 'password')).toString(), 'late')
})

test('without the API server running pods keep their files, and new ones wait for it', async (t) => {
  const { node, pod } = await running(t)
  await node.cluster.api.down()
  const second = node.addPod('api-1')
  await until(() => node.cluster.kubelet.events(second).length > 0, { what: 'the new pod to wait' })
  t.is((await node.cluster.kubelet.readFile(pod, 'db', 'password')).toString(), 'one')
  await node.cluster.api.up()
  await node.cluster.kubelet.until(second, 'Running')
  node.setSecret('two')
  await node.untilReads(pod, 'two')
})

test('a pod ends while the daemon is away', async (t) => {
  const { node, pod } = await running(t)
  await node.stopDaemon()
  node.cluster.objects.deletePod(pod)
  await node.cluster.kubelet.until(pod, 'Gone')
  await node.startDaemon()
  t.pass()
})

test('neither values nor tokens reach a log line, a metric or an event', async (t) => {
  const node = await Node.start(t)
  const canary = `canary-${randomBytes(8).toString('hex')}`
  node.setSecret(canary)
  const refused = node.addPod('refused')
  await until(() => node.cluster.kubelet.events(refused).length > 0, { what: 'a refusal' })
  node.grant()
  const pod = node.addPod()
  await node.cluster.kubelet.until(pod, 'Running')
  node.setSecret(`${canary}-changed`)
  await node.untilReads(pod, `${canary}-changed`)
  await node.cluster.api.down()
  node.addPod('waiting')
  const events = [pod, refused].flatMap((one) => node.cluster.kubelet.events(one))
  const everything = [...node.lines, await node.metrics(), JSON.stringify(events)].join('\n')
  t.true(node.lines.length > 5)
  for (const form of [canary, Buffer.from(canary).toString('base64').slice(0, 24)]) {
    t.false(everything.includes(form))
  }
  // Every JSON web token begins with an encoded {"
  t.notRegex(everything, /eyJ[\w-]{8,}\./)
})

import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { systemClock } from '../../src/core/clock.ts'
import { LatchkeyError } from '../../src/core/errors.ts'
import { startMinicluster } from '../../src/minicluster/minicluster.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { tempDir } from '../support/temp-dir.ts'
import { ask } from './api-request.ts'
import { FakeDriver } from './fake-driver.ts'
import { createPod, startCluster, startDriver } from './kubelet-world.ts'

test('a minicluster has a node, an API server, and a kubeconfig for the daemon', async (t) => {
  const cluster = await startCluster(t, systemClock)
  t.deepEqual(readdirSync(cluster.kubeletRoot).sort(), ['plugins', 'plugins_registry', 'pods'])
  t.is(statSync(cluster.kubeconfigFile).mode & 0o777, 0o600)
  const config = JSON.parse(readFileSync(cluster.kubeconfigFile, 'utf8')) as {
    clusters: { cluster: { server: string; 'certificate-authority-data': string } }[]
    users: { user: { token: string } }[]
  }
  const [entry] = config.clusters
  const endpoint = {
    origin: entry?.cluster.server ?? '',
    authorityPem: Buffer.from(
      entry?.cluster['certificate-authority-data'] ?? '',
      'base64',
    ).toString(),
  }
  const token = config.users[0]?.user.token
  t.is((await ask(endpoint, { path: '/version', token })).status, 200)
})

test('stop takes pods and files away, and leaves the folder as it was', async (t) => {
  const root = tempDir(t)
  mkdirSync(join(root, 'before'))
  const clock = new FakeClock()
  const cluster = await startMinicluster({ root, clock, nodeName: 'n' })
  const driver = await FakeDriver.start({ kubeletRoot: cluster.kubeletRoot, nodeId: 'n' })
  t.teardown(() => driver.stop())
  await cluster.kubelet.untilRegistered(driver.name)
  const pod = cluster.objects.createPod({
    namespace: 'shop',
    name: 'api-0',
    node: 'n',
    volumes: [{ name: 'db', csi: { driver: driver.name } }],
  })
  await cluster.kubelet.until(pod, 'Running')
  await cluster.stop()
  t.is(driver.unpublishes().length, 1)
  t.deepEqual(readdirSync(root), ['before'])
  t.is(clock.pending, 0)
  await t.throwsAsync(ask(cluster.api, { path: '/readyz' }), { code: 'ECONNREFUSED' })
})

test('stop works without a driver, too', async (t) => {
  const cluster = await startCluster(t, systemClock)
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  await driver.stop()
  await cluster.kubelet.untilRegistered(driver.name, false)
  await cluster.stop()
  t.false(existsSync(cluster.kubeletRoot))
})

test('a root that is too long for unix sockets is refused by name', async (t) => {
  const root = join(tempDir(t), 'x'.repeat(60))
  const error = await t.throwsAsync(startMinicluster({ root }), { instanceOf: LatchkeyError })
  t.is(error.reason, 'InvalidRequest')
  t.regex(error.message, /^root: .* bytes too long for unix sockets below it$/)
  t.false(existsSync(root))
})

test('several miniclusters live side by side', async (t) => {
  const [first, second] = await Promise.all([
    startCluster(t, systemClock),
    startCluster(t, systemClock),
  ])
  t.not(first.api.origin, second.api.origin)
  const driver = await startDriver(t, first)
  await first.kubelet.until(createPod(first), 'Running')
  t.is(driver.publishes().length, 1)
  t.deepEqual(second.kubelet.drivers, [])
})

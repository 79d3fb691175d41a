import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { until } from '../support/until.ts'
import { CODE } from './fake-driver.ts'
import { createPod, messages, startDriver, startWorld } from './kubelet-world.ts'

const TOKENS = 'csi.storage.k8s.io/serviceAccount.tokens'
const DENIED = { code: CODE.permissionDenied, details: 'AccessDenied: no' }

test('after a restart every living volume is published again, with new tokens', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  await cluster.kubelet.restart()
  t.is(cluster.kubelet.state(pod), 'Running', 'its containers did not notice')
  await cluster.kubelet.untilRegistered(driver.name)
  // Its first try came before the driver was registered again.
  await clock.advance(1_000)
  await driver.called('NodePublishVolume', 2)
  const [before, after] = driver.publishes().map(({ secrets }) => String(secrets[TOKENS]))
  t.not(before, after)
  t.is(driver.count('GetInfo'), 2)
  t.is(driver.unpublishes().length, 0)
})

test('it learns of its volumes from their records, before their driver is registered again', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  await driver.stop()
  await cluster.kubelet.untilRegistered(driver.name, false)
  await cluster.kubelet.restart()
  await until(() => messages(cluster, pod).length === 1, { what: 'the event of a healthy pod' })
  t.regex(messages(cluster, pod)[0] ?? '', /not found in the list of registered CSI drivers$/)
  await driver.listen()
  await cluster.kubelet.untilRegistered(driver.name)
  await clock.advance(1_000)
  await driver.called('NodePublishVolume', 2)
})

test('a final refusal after a restart leaves the folder, and the volume is unpublished later', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  driver.onPublish = () => DENIED
  await cluster.kubelet.restart()
  await cluster.kubelet.untilRegistered(driver.name)
  await clock.advance(1_000)
  await until(() => messages(cluster, pod).some((text) => text.includes('AccessDenied')), {
    what: 'the event',
  })
  t.true(existsSync(cluster.kubelet.targetPath(pod, 'db')))
  cluster.objects.deletePod(pod)
  await cluster.kubelet.until(pod, 'Gone')
  t.is(driver.unpublishes().length, 1)
})

test('what was force-deleted while kubelet was down is taken away when it is back', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  await cluster.kubelet.stop()
  cluster.objects.forceDelete(pod)
  t.is(cluster.kubelet.state(pod), 'Gone')
  cluster.kubelet.start()
  t.is(cluster.kubelet.state(pod), 'Terminating')
  await cluster.kubelet.untilRegistered(driver.name)
  await clock.advance(1_000)
  await cluster.kubelet.until(pod, 'Gone')
  t.is(driver.unpublishes().length, 1)
  t.deepEqual(readdirSync(join(cluster.kubeletRoot, 'pods')), [])
})

test('a pod that was deleted while kubelet was down is unpublished, not published', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  await cluster.kubelet.stop()
  cluster.objects.deletePod(pod)
  cluster.kubelet.start()
  await cluster.kubelet.untilRegistered(driver.name)
  await clock.advance(1_000)
  await cluster.kubelet.until(pod, 'Gone')
  t.is(driver.publishes().length, 1)
  t.is(driver.unpublishes().length, 1)
})

test('a kubelet that is killed drops its calls', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  driver.onPublish = () => new Promise(() => undefined)
  createPod(cluster)
  await driver.called('NodePublishVolume', 1)
  await cluster.kubelet.stop()
  await until(() => driver.calls.at(-1)?.isCancelled() === true, { what: 'the call to be dropped' })
  t.deepEqual(cluster.kubelet.drivers, [])
  driver.onPublish = () => undefined
  cluster.kubelet.start()
})

test('a stopped kubelet leaves no timer behind', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  driver.onPublish = () => DENIED
  const failing = createPod(cluster, { name: 'failing' })
  await until(() => messages(cluster, failing).length === 1, { what: 'the event' })
  driver.onPublish = () => undefined
  await cluster.kubelet.until(createPod(cluster), 'Running')
  await cluster.kubelet.stop()
  t.is(clock.pending, 0)
})

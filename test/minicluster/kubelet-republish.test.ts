import { existsSync } from 'node:fs'
import test from 'ava'
import { LATCHKEY_DRIVER } from '../../src/minicluster/csi-driver.ts'
import type { StoredPod } from '../../src/minicluster/pod-store.ts'
import { until } from '../support/until.ts'
import { CODE } from './fake-driver.ts'
import type { FakeDriver } from './fake-driver.ts'
import { createPod, messages, startDriver, startWorld } from './kubelet-world.ts'
import type { KubeletWorld } from './kubelet-world.ts'

const TOKENS = 'csi.storage.k8s.io/serviceAccount.tokens'
const BROKEN = { code: CODE.internal, details: 'Internal: something' }

/** A running pod whose first extra sync, right after its start, is over. */
async function run(driver: FakeDriver, { clock, cluster }: KubeletWorld): Promise<StoredPod> {
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  await clock.advance(500)
  await driver.called('NodePublishVolume', 2)
  await cluster.kubelet.untilIdle(pod)
  return pod
}

test('a mounted volume is published again soon after the start, then once a minute', async (t) => {
  const world = await startWorld(t)
  const { clock, cluster } = world
  const driver = await startDriver(t, cluster)
  const pod = await run(driver, world)
  for (const count of [3, 4]) {
    await clock.advance(59_999)
    t.is(driver.publishes().length, count - 1)
    await clock.advance(1)
    await driver.called('NodePublishVolume', count)
    await cluster.kubelet.untilIdle(pod)
  }
})

test('the time between two republishes is drawn from one to one and a half intervals', async (t) => {
  const world = await startWorld(t, { syncIntervalMs: 10_000, random: () => 1 })
  const { clock, cluster } = world
  const driver = await startDriver(t, cluster)
  await run(driver, world)
  await clock.advance(14_999)
  t.is(driver.publishes().length, 2)
  await clock.advance(1)
  await driver.called('NodePublishVolume', 3)
})

test('a republish says the same in another order, with the same tokens', async (t) => {
  const world = await startWorld(t)
  const driver = await startDriver(t, world.cluster)
  await run(driver, world)
  const [first, second] = driver.publishes()
  t.deepEqual(first, second)
  const orders = driver.publishes().map(({ volumeContext }) => Object.keys(volumeContext))
  t.notDeepEqual(orders[0], orders[1])
})

test('a driver that does not want republishes gets none', async (t) => {
  const world = await startWorld(t, {
    csiDrivers: [{ ...LATCHKEY_DRIVER, requiresRepublish: false }],
  })
  const { clock, cluster } = world
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  await clock.advance(600_000)
  t.is(driver.publishes().length, 1)
})

test('a test can have a republish now', async (t) => {
  const world = await startWorld(t)
  const driver = await startDriver(t, world.cluster)
  const pod = await run(driver, world)
  await world.cluster.kubelet.sync(pod)
  t.is(driver.publishes().length, 3)
  t.is(world.cluster.kubelet.state(pod), 'Running')
})

test('tokens are the same until four fifths of their life are over', async (t) => {
  const world = await startWorld(t)
  const { clock, cluster } = world
  const driver = await startDriver(t, cluster)
  const pod = await run(driver, world)
  for (let minute = 1; minute <= 9; minute += 1) {
    await clock.advance(60_000)
    await driver.called('NodePublishVolume', 2 + minute)
    await cluster.kubelet.untilIdle(pod)
  }
  const sets = driver.publishes().map(({ secrets }) => String(secrets[TOKENS]))
  // At 480.5 s the first set is older than 80 % of its 600 s.
  const changes = sets.flatMap((set, index) => (set === sets[index - 1] ? [] : [index]))
  t.deepEqual(changes, [0, 9])
})

test('a failed republish is an event on a running pod, and takes nothing away', async (t) => {
  const world = await startWorld(t)
  const { clock, cluster } = world
  const driver = await startDriver(t, cluster)
  const pod = await run(driver, world)
  driver.onPublish = () => BROKEN
  await clock.advance(60_000)
  await until(() => messages(cluster, pod).length === 1, { what: 'the event' })
  t.true(messages(cluster, pod)[0]?.endsWith('code = Internal desc = Internal: something'))
  t.is(cluster.kubelet.state(pod), 'Running')
  t.true(existsSync(cluster.kubelet.targetPath(pod, 'db')))
  await clock.advance(500)
  await until(() => messages(cluster, pod).length === 2, { what: 'the event of the retry' })
  driver.onPublish = () => undefined
  await clock.advance(1_000)
  await driver.called('NodePublishVolume', 5)
  await cluster.kubelet.untilIdle(pod)
  await clock.advance(30_000)
  t.is(driver.publishes().length, 5)
  cluster.objects.deletePod(pod)
  await cluster.kubelet.until(pod, 'Gone')
  t.is(driver.unpublishes().length, 1)
})

test('while the API server is away the old tokens do, until they have expired', async (t) => {
  const world = await startWorld(t)
  const { clock, cluster } = world
  const driver = await startDriver(t, cluster)
  const pod = await run(driver, world)
  await cluster.api.down()
  for (let minute = 1; minute <= 9; minute += 1) {
    await clock.advance(60_000)
    await driver.called('NodePublishVolume', 2 + minute)
    await cluster.kubelet.untilIdle(pod)
  }
  const sets = new Set(driver.publishes().map(({ secrets }) => String(secrets[TOKENS])))
  t.is(sets.size, 1)
  await clock.advance(60_000)
  await until(() => messages(cluster, pod).length === 1, { what: 'the event' })
  t.regex(messages(cluster, pod)[0] ?? '', /failed to get service account token attributes/)
  t.is(driver.publishes().length, 11, 'the driver was not asked')
  await cluster.api.up()
  await clock.advance(500)
  await driver.called('NodePublishVolume', 12)
  t.not(String(driver.publishes().at(-1)?.secrets[TOKENS]), [...sets][0])
})

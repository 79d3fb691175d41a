import { writeFileSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { systemClock } from '../../src/core/clock.ts'
import { until } from '../support/until.ts'
import { FakeDriver, leaveDeadSocket } from './fake-driver.ts'
import { startCluster, startDriver, startWorld } from './kubelet-world.ts'

const NAME = 'csi.latchkey.dev'

test('a driver whose socket appears is asked, judged and told, in that order', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  await driver.called('NotifyRegistrationStatus', 1)
  t.deepEqual(
    driver.calls.map(({ method }) => method),
    ['GetInfo', 'NodeGetInfo', 'NotifyRegistrationStatus'],
  )
  t.like(driver.verdicts[0], { pluginRegistered: true, error: '' })
  t.deepEqual(cluster.kubelet.drivers, [
    {
      name: NAME,
      endpoint: driver.socketPath,
      registrationPath: driver.registrationPath,
      nodeId: 'node-1',
      version: '1.0.0',
    },
  ])
})

test('the authority is the encoded path on the registration socket, localhost on the other', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const authorities = new Map(driver.calls.map(({ method, authority }) => [method, authority]))
  t.is(authorities.get('GetInfo'), driver.registrationPath.replaceAll('/', '%2F'))
  t.is(authorities.get('NodeGetInfo'), 'localhost')
})

test('a registration has one second for GetInfo, and says so on the wire', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const limits = new Map(driver.calls.map(({ method, deadlineInMs }) => [method, deadlineInMs]))
  const within = (method: string, from: number, to: number): void => {
    const limit = limits.get(method) ?? 0
    t.true(limit > from && limit <= to, `${method}: ${limit} ms`)
  }
  within('GetInfo', 0, 1_000)
  within('NodeGetInfo', 60_000, 120_000)
  within('NotifyRegistrationStatus', 1_000, 5_000)
})

test('a driver that is slower than a second is tried again after half a second', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const { kubeletRoot, kubelet } = cluster
  const driver = await FakeDriver.start({ kubeletRoot })
  t.teardown(() => driver.stop())
  driver.onGetInfo = () => new Promise(() => undefined)
  await driver.called('GetInfo', 1)
  await clock.advance(1_000)
  await until(() => kubelet.registrations.length === 1, { what: 'the try to fail' })
  t.regex(kubelet.registrations[0]?.error ?? '', /code = DeadlineExceeded desc = context deadline/)
  driver.onGetInfo = () => undefined
  await clock.advance(499)
  t.is(driver.count('GetInfo'), 1)
  await clock.advance(1)
  await kubelet.untilRegistered(NAME)
})

test('failed tries wait twice as long each time', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const { kubeletRoot, kubelet } = cluster
  const driver = await FakeDriver.start({ kubeletRoot, nodeId: '' })
  t.teardown(() => driver.stop())
  for (const [tries, waitMs] of [500, 1_000, 2_000, 4_000].entries()) {
    await until(() => kubelet.registrations.length === tries + 1, { what: `try ${tries + 1}` })
    await clock.advance(waitMs - 1)
    t.is(driver.count('GetInfo'), tries + 1)
    await clock.advance(1)
  }
  await driver.called('GetInfo', 5)
  t.regex(driver.verdicts[0]?.error ?? '', /empty node ID/)
})

const REFUSED: readonly (readonly [string, object, RegExp])[] = [
  ['is no CSI plugin', { type: 'DRAPlugin' }, /no handler registered for plugin type: DRAPlugin/],
  ['has an endpoint with a scheme', { endpoint: 'unix:///csi.sock' }, /plain path/],
  ['speaks no version 1', { supportedVersions: ['0.3.0', '2.0.0'] }, /None of the versions/],
]

for (const [what, info, message] of REFUSED) {
  test(`a plugin that ${what} is told why it is not registered`, async (t) => {
    const { cluster } = await startWorld(t)
    const driver = await FakeDriver.start({ kubeletRoot: cluster.kubeletRoot, info })
    t.teardown(() => driver.stop())
    await driver.called('NotifyRegistrationStatus', 1)
    t.false(driver.verdicts[0]?.pluginRegistered)
    t.regex(driver.verdicts[0]?.error ?? '', message)
    t.deepEqual(cluster.kubelet.drivers, [])
    t.is(driver.count('NodeGetInfo'), 0)
  })
}

test('a second driver of the same name is refused while the first is there', async (t) => {
  const { cluster } = await startWorld(t)
  await startDriver(t, cluster)
  const { kubeletRoot } = cluster
  const second = await FakeDriver.start({ kubeletRoot, fileName: 'another-reg.sock' })
  t.teardown(() => second.stop())
  await second.called('NotifyRegistrationStatus', 1)
  t.regex(second.verdicts[0]?.error ?? '', /already registered with a higher supported version/)
  t.is(cluster.kubelet.drivers.length, 1)
})

test('without an endpoint of its own the registration socket is the driver', async (t) => {
  const { cluster } = await startWorld(t)
  const { kubeletRoot, kubelet } = cluster
  const driver = await FakeDriver.start({ kubeletRoot, info: { endpoint: '' } })
  t.teardown(() => driver.stop())
  await until(() => kubelet.registrations.length === 1, { what: 'a try' })
  // Nobody serves the node service there, which is how one sees where kubelet has called.
  t.regex(kubelet.registrations[0]?.error ?? '', /code = Unimplemented/)
})

test('hidden names and plain files are passed over', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const registry = join(cluster.kubeletRoot, 'plugins_registry')
  writeFileSync(join(registry, 'no-socket.sock'), '')
  const { kubeletRoot } = cluster
  const driver = await FakeDriver.start({ kubeletRoot, fileName: '.hidden-reg.sock' })
  t.teardown(() => driver.stop())
  await clock.advance(3_000)
  t.is(driver.count('GetInfo'), 0)
  await rename(driver.registrationPath, join(registry, 'shown-reg.sock'))
  await cluster.kubelet.untilRegistered(NAME)
  t.deepEqual(cluster.kubelet.registrations.length, 1)
})

test('a driver that leaves is deregistered, one that comes back is registered anew', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  await driver.stop()
  await cluster.kubelet.untilRegistered(NAME, false)
  await driver.listen()
  await cluster.kubelet.untilRegistered(NAME)
  t.is(driver.count('GetInfo'), 2)
})

test('another socket at the same path is another plugin, and is registered in its place', async (t) => {
  const { cluster } = await startWorld(t)
  const first = await startDriver(t, cluster)
  const second = await FakeDriver.start({ kubeletRoot: cluster.kubeletRoot, nodeId: 'other' })
  t.teardown(() => second.stop())
  await until(() => cluster.kubelet.drivers[0]?.nodeId === 'other', { what: 'the other one' })
  t.is(first.count('GetInfo'), 1)
  t.is(second.count('GetInfo'), 1)
})

test('a driver that died without removing its socket stays registered', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  await driver.crash()
  await clock.advance(5_000)
  t.is(cluster.kubelet.drivers.length, 1)
})

test('a dead socket that lies there at the start holds nothing else up', async (t) => {
  const cluster = await startCluster(t, systemClock)
  await leaveDeadSocket(join(cluster.kubeletRoot, 'plugins_registry', 'dead-reg.sock'))
  await startDriver(t, cluster)
  t.deepEqual(
    cluster.kubelet.drivers.map(({ name }) => name),
    [NAME],
  )
})

test('waiting for a driver is bounded, and says what was wrong', async (t) => {
  const { cluster } = await startWorld(t)
  const { kubelet, kubeletRoot } = cluster
  await t.throwsAsync(kubelet.untilRegistered(NAME, true, 20), {
    message: `after 20 ms driver ${NAME} is not registered: no socket in plugins_registry`,
  })
  const driver = await FakeDriver.start({ kubeletRoot, nodeId: '' })
  t.teardown(() => driver.stop())
  await until(() => kubelet.registrations.length === 1, { what: 'a try' })
  await t.throwsAsync(kubelet.untilRegistered(NAME, true, 20), { message: /empty node ID/ })
})

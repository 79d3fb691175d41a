import { lstatSync, mkdirSync, readdirSync, renameSync, unlinkSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import test from 'ava'
import { csiSocketPath, registrationSocketPath } from '../../../src/host/csi/csi-server.ts'
import { until } from '../../support/until.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { callerOf, csiWorld, DRIVER, publishRequest, answerTo } from './csi-world.ts'

/** More than one look of the watchdog and the pause before it binds anew. */
const LOOK_AND_PAUSE_MS = 10_000

function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino
}

test("sockets lie below kubelet's root folder, under the driver's name", (t) => {
  const [root, driver] = ['/data/kubelet', 'csi.example.org']
  t.is(csiSocketPath(root, driver), '/data/kubelet/plugins/csi.example.org/csi.sock')
  t.is(
    registrationSocketPath(root, driver),
    '/data/kubelet/plugins_registry/csi.example.org-reg.sock',
  )
})

test('kubelet is told what it asks of a CSI plugin, with a plain path for an endpoint', async (t) => {
  const on = await csiWorld(t)
  t.deepEqual(await callerOf(t, on.registrationSocket, 'Registration').call('GetInfo', {}), {
    type: 'CSIPlugin',
    name: DRIVER,
    endpoint: on.csiSocket,
    supportedVersions: ['1.0.0'],
  })
})

test('the registration socket appears under its own name, 0600, with no half-made one beside it', async (t) => {
  const on = await csiWorld(t)
  t.deepEqual(readdirSync(dirname(on.registrationSocket)), [`${DRIVER}-reg.sock`])
  t.is(lstatSync(on.registrationSocket).mode & 0o777, 0o600)
  t.is(lstatSync(dirname(on.registrationSocket)).mode & 0o777, 0o750)
})

test('when kubelet can find the registration, csi.sock answers already', async (t) => {
  const on = await csiWorld(t)
  t.true(on.server.isInPlace)
  const { endpoint } = (await callerOf(t, on.registrationSocket, 'Registration').call(
    'GetInfo',
    {},
  )) as { endpoint: string }
  t.like(await callerOf(t, endpoint, 'Node').call('NodeGetInfo', {}), { nodeId: 'node-1' })
})

test("kubelet's verdict is passed on, each time that it comes", async (t) => {
  const on = await csiWorld(t)
  const kubelet = callerOf(t, on.registrationSocket, 'Registration')
  for (const pluginRegistered of [true, true]) {
    await kubelet.call('NotifyRegistrationStatus', { pluginRegistered, error: '' })
  }
  t.deepEqual(on.registrations, [
    { isRegistered: true, error: '' },
    { isRegistered: true, error: '' },
  ])
})

test('a refused registration is tried again with a new socket, and csi.sock stays as it is', async (t) => {
  const clock = new FakeClock()
  const on = await csiWorld(t, { clock })
  const [registration, csi] = [inodeOf(on.registrationSocket), inodeOf(on.csiSocket)]
  await callerOf(t, on.registrationSocket, 'Registration').call('NotifyRegistrationStatus', {
    pluginRegistered: false,
    error: 'already registered',
  })
  t.deepEqual(on.registrations, [{ isRegistered: false, error: 'already registered' }])
  await until(
    async () => {
      await clock.advance(500)
      const now = inodeOf(on.registrationSocket)
      return now !== undefined && now !== registration
    },
    { what: 'a new registration socket' },
  )
  t.is(inodeOf(on.csiSocket), csi)
  await callerOf(t, on.registrationSocket, 'Registration').call('GetInfo', {})
})

for (const which of ['registrationSocket', 'csiSocket'] as const) {
  test(`the ${which} is bound anew in the process when its file has vanished`, async (t) => {
    const clock = new FakeClock()
    const on = await csiWorld(t, { clock })
    unlinkSync(on[which])
    t.false(on.server.isInPlace)
    await clock.advance(LOOK_AND_PAUSE_MS)
    await until(() => on.server.isInPlace, { what: 'a new socket' })
    t.deepEqual(readdirSync(dirname(on[which])).length, 1)
  })
}

test('a csi.sock that was bound anew serves', async (t) => {
  const clock = new FakeClock()
  const on = await csiWorld(t, { clock })
  unlinkSync(on.csiSocket)
  await clock.advance(LOOK_AND_PAUSE_MS)
  await until(() => on.server.isInPlace, { what: 'a new socket' })
  const node = callerOf(t, on.csiSocket, 'Node')
  const answer = await answerTo(node.call('NodePublishVolume', publishRequest(on.kubeletRoot)))
  t.is(answer.code, 'OK', answer.message)
})

test('a folder that vanished with its socket is made again', async (t) => {
  const clock = new FakeClock()
  const on = await csiWorld(t, { clock })
  renameSync(dirname(on.csiSocket), `${on.kubeletRoot}/moved`)
  await clock.advance(LOOK_AND_PAUSE_MS)
  await until(() => on.server.isInPlace, { what: 'a new socket' })
  t.is(lstatSync(dirname(on.csiSocket)).mode & 0o777, 0o700)
})

test('while a socket cannot be bound it is tried again, until it can', async (t) => {
  const clock = new FakeClock()
  const on = await csiWorld(t, { clock })
  const registry = dirname(on.registrationSocket)
  renameSync(registry, `${on.kubeletRoot}/moved`)
  await clock.advance(60_000)
  t.false(on.server.isInPlace)
  t.true(on.logs.some((line) => line.includes('socket could not be bound')))
  mkdirSync(registry)
  await clock.advance(120_000)
  await until(() => on.server.isInPlace, { what: 'a new socket' })
})

test('sockets that lie where they should are left alone', async (t) => {
  const clock = new FakeClock()
  const on = await csiWorld(t, { clock })
  const before = [inodeOf(on.registrationSocket), inodeOf(on.csiSocket)]
  await clock.advance(60 * 60_000)
  t.deepEqual([inodeOf(on.registrationSocket), inodeOf(on.csiSocket)], before)
  t.deepEqual(on.logs, [])
})

test('stopping takes both sockets away, and says that the driver is not registered', async (t) => {
  const on = await csiWorld(t)
  await on.server.stop()
  t.deepEqual(readdirSync(dirname(on.registrationSocket)), [])
  t.deepEqual(readdirSync(dirname(on.csiSocket)), [])
  t.deepEqual(on.registrations.at(-1)?.isRegistered, false)
})

test("stopping leaves a successor's sockets where they are", async (t) => {
  const on = await csiWorld(t)
  for (const path of [on.registrationSocket, on.csiSocket]) {
    unlinkSync(path)
    writeFileSync(path, 'another')
  }
  await on.server.stop()
  t.is(lstatSync(on.registrationSocket).size, 'another'.length)
  t.is(lstatSync(on.csiSocket).size, 'another'.length)
})

test('kubelet can no longer find the driver while the last publish is being answered', async (t) => {
  const on = await csiWorld(t)
  const hold = Promise.withResolvers<undefined>()
  on.volumes.holds = hold.promise.then(() => undefined)
  const node = callerOf(t, on.csiSocket, 'Node')
  const answering = answerTo(node.call('NodePublishVolume', publishRequest(on.kubeletRoot)))
  await until(() => on.volumes.published.length === 1, { what: 'the publish to arrive' })
  const stopping = on.server.stop()
  await until(() => inodeOf(on.registrationSocket) === undefined, { what: 'the socket to go' })
  hold.resolve(undefined)
  t.is((await answering).code, 'OK')
  await stopping
})

import { existsSync, readFileSync, statSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import test from 'ava'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import { LATCHKEY_DRIVER } from '../../src/minicluster/csi-driver.ts'
import { until } from '../support/until.ts'
import { CODE } from './fake-driver.ts'
import { createPod, DB, messages, startDriver, startWorld } from './kubelet-world.ts'

const TOKENS = 'csi.storage.k8s.io/serviceAccount.tokens'
const DENIED = { code: CODE.permissionDenied, details: 'AccessDenied: secrets "db" is forbidden' }
const AWAY = { code: CODE.unavailable, details: 'DaemonUnavailable: not there' }

type TokenMap = Record<string, { token: string; expirationTimestamp: string }>

test('a publish has exactly the fields that kubelet fills', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  const [request] = driver.publishes()
  const { secrets, volumeContext, ...rest } = request ?? {}
  t.deepEqual(rest, {
    volumeId: volumeIdOf(pod.uid, 'db'),
    publishContext: {},
    stagingTargetPath: '',
    targetPath: `${cluster.kubeletRoot}/pods/${pod.uid}/volumes/kubernetes.io~csi/db/mount`,
    volumeCapability: {
      accessMode: { mode: 'SINGLE_NODE_WRITER' },
      mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
      accessType: 'mount',
    },
    readonly: true,
  } as never)
  t.deepEqual(textsOf(volumeContext), {
    secret: 'db-credentials',
    other: 'word',
    'csi.storage.k8s.io/pod.name': 'api-0',
    'csi.storage.k8s.io/pod.namespace': 'shop',
    'csi.storage.k8s.io/pod.uid': pod.uid,
    'csi.storage.k8s.io/serviceAccount.name': 'api',
    'csi.storage.k8s.io/ephemeral': 'true',
  })
  t.deepEqual(Object.keys(secrets ?? {}), [TOKENS])
})

test('both tokens come along, each good for its own audience only', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  const tokens = tokensOf(driver.publishes()[0]?.secrets)
  t.deepEqual(Object.keys(tokens), ['', 'latchkey'])
  const expires = new Date(clock.now() + 600_000).toISOString().replace('.000', '')
  for (const [audience, { token, expirationTimestamp }] of Object.entries(tokens)) {
    t.is(expirationTimestamp, expires)
    const judge = (audiences: readonly string[]): string | undefined =>
      cluster.objects.tokens.judge(Buffer.from(token), audiences).user?.name
    t.is(judge(audience === '' ? [] : [audience]), 'system:serviceaccount:shop:api')
    t.is(judge(audience === '' ? ['latchkey'] : []), undefined)
  }
})

test('capabilities are asked twice before each publish, all within two minutes', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  await cluster.kubelet.until(createPod(cluster), 'Running')
  const calls = driver.calls.slice(3)
  t.deepEqual(
    calls.map(({ method }) => method),
    ['NodeGetCapabilities', 'NodeGetCapabilities', 'NodePublishVolume'],
  )
  for (const { deadlineInMs } of calls) {
    t.true(deadlineInMs > 110_000 && deadlineInMs <= 120_000, `${deadlineInMs} ms`)
  }
})

test('kubelet makes the parent and its record, and leaves the target to the driver', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  let seen: { hasTarget: boolean; mode: number; record: unknown } | undefined
  driver.onPublish = ({ targetPath }) => {
    const parent = dirname(targetPath)
    seen = {
      hasTarget: existsSync(targetPath),
      mode: statSync(parent).mode & 0o777,
      record: JSON.parse(readFileSync(join(parent, 'vol_data.json'), 'utf8')),
    }
    return undefined
  }
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  t.like(seen, { hasTarget: false, mode: 0o750 })
  t.like(seen?.record, {
    specVolID: 'db',
    volumeHandle: volumeIdOf(pod.uid, 'db'),
    driverName: 'csi.latchkey.dev',
    nodeName: 'node-1',
    volumeLifecycleMode: 'Ephemeral',
  })
})

test('a pod runs when all of its volumes are mounted, and reads them', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  let release = (): void => undefined
  driver.onPublish = ({ targetPath }) => {
    if (!targetPath.includes('/second/')) return undefined
    return new Promise((resolve) => {
      release = () => {
        resolve(undefined)
      }
    })
  }
  const pod = createPod(cluster, { volumes: [DB, { ...DB, name: 'second' }] })
  await driver.called('NodePublishVolume', 2)
  t.is(cluster.kubelet.state(pod), 'Pending')
  release()
  await cluster.kubelet.until(pod, 'Running')
  for (const volume of ['db', 'second']) {
    t.is(String(await cluster.kubelet.readFile(pod, volume, 'password')), 'hunter2')
  }
})

test('a pod without volumes just runs', async (t) => {
  const { cluster } = await startWorld(t)
  const pod = createPod(cluster, { volumes: [] })
  await cluster.kubelet.until(pod, 'Running')
  cluster.objects.deletePod(pod)
  await cluster.kubelet.until(pod, 'Gone')
  t.deepEqual(messages(cluster, pod), [])
})

test('the group goes to a driver that can mount with one, and to no other', async (t) => {
  const groups: (string | undefined)[] = []
  for (const capabilities of [['VOLUME_MOUNT_GROUP'], ['GET_VOLUME_STATS']] as const) {
    const { cluster } = await startWorld(t)
    const driver = await startDriver(t, cluster, { capabilities })
    await cluster.kubelet.until(createPod(cluster, { fsGroup: 2000 }), 'Running')
    groups.push(driver.publishes()[0]?.volumeCapability?.mount?.volumeMountGroup)
  }
  t.deepEqual(groups, ['2000', ''])
})

test("a pod's attributes do not get past what kubelet says itself", async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const volumeAttributes = { 'csi.storage.k8s.io/pod.uid': 'forged', [TOKENS]: 'forged' }
  const csi = { driver: driver.name, volumeAttributes }
  const pod = createPod(cluster, { volumes: [{ name: 'db', csi }] })
  await cluster.kubelet.until(pod, 'Running')
  const context = textsOf(driver.publishes()[0]?.volumeContext)
  t.is(context['csi.storage.k8s.io/pod.uid'], pod.uid)
  // kubelet sets no such attribute where the tokens go into secrets, so the pod's own passes.
  t.is(context[TOKENS], 'forged')
  t.false(driver.publishes()[0]?.readonly)
})

test('a CSIDriver object says what comes along, and where the tokens lie', async (t) => {
  const old = { ...LATCHKEY_DRIVER, serviceAccountTokenInSecrets: false }
  const bare = { ...LATCHKEY_DRIVER, podInfoOnMount: false, tokenRequests: [] }
  const { cluster } = await startWorld(t, { csiDrivers: [old] })
  const driver = await startDriver(t, cluster)
  await cluster.kubelet.until(createPod(cluster), 'Running')
  t.deepEqual(driver.publishes()[0]?.secrets, {})
  const context = driver.publishes()[0]?.volumeContext
  t.deepEqual(Object.keys(JSON.parse(String(context?.[TOKENS])) as object), ['', 'latchkey'])

  const other = await startWorld(t, { csiDrivers: [bare] })
  const second = await startDriver(t, other.cluster)
  await other.cluster.kubelet.until(createPod(other.cluster), 'Running')
  t.deepEqual(second.publishes()[0]?.secrets, {})
  t.deepEqual(textsOf(second.publishes()[0]?.volumeContext), DB.csi.volumeAttributes as never)
})

test('a final refusal is an event, takes the folders away, and is tried again ever later', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  driver.onPublish = () => DENIED
  const pod = createPod(cluster)
  const parent = dirname(cluster.kubelet.targetPath(pod, 'db'))
  for (const [tries, waitMs] of [500, 1_000, 2_000, 4_000].entries()) {
    await until(() => messages(cluster, pod).length === tries + 1, { what: `event ${tries + 1}` })
    await clock.advance(waitMs - 1)
    t.is(driver.publishes().length, tries + 1)
    t.false(existsSync(parent))
    await clock.advance(1)
  }
  t.is(
    messages(cluster, pod)[0],
    'MountVolume.SetUp failed for volume "db" : rpc error: code = PermissionDenied desc = AccessDenied: secrets "db" is forbidden',
  )
  t.like(cluster.kubelet.events(pod)[0], { type: 'Warning', reason: 'FailedMount' })
  await until(() => messages(cluster, pod).length === 5, { what: 'the fifth event' })
  driver.onPublish = () => undefined
  await clock.advance(8_000)
  await cluster.kubelet.until(pod, 'Running')
})

test('the gap between tries ends at 122 seconds', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  driver.onPublish = () => DENIED
  const pod = createPod(cluster)
  const gaps = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 122_000, 122_000]
  for (const [tries, gapMs] of gaps.entries()) {
    await until(() => messages(cluster, pod).length === tries + 1, { what: `event ${tries + 1}` })
    await clock.advance(gapMs - 1)
    t.is(driver.publishes().length, tries + 1)
    await clock.advance(1)
  }
  await driver.called('NodePublishVolume', gaps.length + 1)
})

test('a volume that was finally refused is never unpublished', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  driver.onPublish = () => DENIED
  const pod = createPod(cluster)
  await until(() => messages(cluster, pod).length === 1, { what: 'the event' })
  cluster.objects.deletePod(pod)
  await cluster.kubelet.until(pod, 'Gone')
  t.is(driver.unpublishes().length, 0)
})

test('an uncertain refusal keeps the folder and is unpublished with the pod', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  driver.onPublish = () => AWAY
  const pod = createPod(cluster)
  const parent = dirname(cluster.kubelet.targetPath(pod, 'db'))
  await until(() => messages(cluster, pod).length === 1, { what: 'the event' })
  t.true(existsSync(join(parent, 'vol_data.json')))
  cluster.objects.deletePod(pod)
  await cluster.kubelet.until(pod, 'Gone')
  t.is(driver.unpublishes().length, 1)
  t.false(existsSync(parent))
})

test('a final refusal after an uncertain one is final', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  driver.onPublish = () => (driver.publishes().length === 1 ? AWAY : DENIED)
  const pod = createPod(cluster)
  await until(() => messages(cluster, pod).length === 1, { what: 'the first event' })
  await clock.advance(500)
  await until(() => messages(cluster, pod).length === 2, { what: 'the second event' })
  cluster.objects.deletePod(pod)
  await cluster.kubelet.until(pod, 'Gone')
  t.is(driver.unpublishes().length, 0)
})

test('what a driver leaves in a finally refused target shows in the event', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  driver.onPublish = async ({ targetPath }) => {
    await mkdir(join(targetPath, 'left-behind'), { recursive: true })
    return DENIED
  }
  const pod = createPod(cluster)
  await until(() => messages(cluster, pod).length === 1, { what: 'the event' })
  t.regex(messages(cluster, pod)[0] ?? '', /remove .*\/mount: directory not empty$/)
})

test('without the driver the event names it, and the pod starts when it comes', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const pod = createPod(cluster)
  await until(() => messages(cluster, pod).length === 1, { what: 'the event' })
  t.is(
    messages(cluster, pod)[0],
    'MountVolume.SetUp failed for volume "db" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI client: driver name csi.latchkey.dev not found in the list of registered CSI drivers',
  )
  await startDriver(t, cluster)
  await clock.advance(500)
  await cluster.kubelet.until(pod, 'Running')
})

test('a volume of a driver without a CSIDriver object is refused before the driver is asked', async (t) => {
  const { cluster } = await startWorld(t, { csiDrivers: [] })
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster)
  await until(() => messages(cluster, pod).length === 1, { what: 'the event' })
  t.regex(messages(cluster, pod)[0] ?? '', /volume mode "Ephemeral" not supported by driver/)
  t.is(driver.count('NodeGetCapabilities'), 0)
})

test('a driver that died is told of in the words of a dial', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  await driver.crash()
  const pod = createPod(cluster)
  await until(() => messages(cluster, pod).length === 1, { what: 'the event' })
  t.true(
    messages(cluster, pod)[0]?.endsWith(
      `rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing: dial unix ${driver.socketPath}: connect: connection refused"`,
    ),
    messages(cluster, pod)[0],
  )
})

test('a driver that never answers has two minutes', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  driver.onPublish = () => new Promise(() => undefined)
  const pod = createPod(cluster)
  await driver.called('NodePublishVolume', 1)
  await clock.advance(119_999)
  t.deepEqual(messages(cluster, pod), [])
  await clock.advance(1)
  await until(() => messages(cluster, pod).length === 1, { what: 'the event' })
  t.true(
    messages(cluster, pod)[0]?.endsWith(
      'rpc error: code = DeadlineExceeded desc = context deadline exceeded',
    ),
  )
  // It may be at work still, so it will be told.
  driver.onPublish = () => undefined
  cluster.objects.deletePod(pod)
  await cluster.kubelet.until(pod, 'Gone')
  t.is(driver.unpublishes().length, 1)
})

test('waiting for a state is bounded, and says what stands in the way', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  driver.onPublish = () => DENIED
  const pod = createPod(cluster)
  await until(() => messages(cluster, pod).length === 1, { what: 'the event' })
  await t.throwsAsync(cluster.kubelet.until(pod, 'Running', 20), {
    message:
      'after 20 ms pod shop/api-0 is Pending and not Running: rpc error: code = PermissionDenied desc = AccessDenied: secrets "db" is forbidden',
  })
})

function textsOf(fields: Readonly<Record<string, Buffer>> | undefined): Record<string, string> {
  return Object.fromEntries(
    Object.entries(fields ?? {}).map(([key, value]) => [key, value.toString()]),
  )
}

function tokensOf(secrets: Readonly<Record<string, Buffer>> | undefined): TokenMap {
  return JSON.parse(String(secrets?.[TOKENS])) as TokenMap
}

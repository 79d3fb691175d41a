import { existsSync, readdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'
import { volumeIdOf } from '../../src/core/volume-id.ts'
import { isMountPoint } from '../../src/minicluster/volume-folder.ts'
import { tempDir } from '../support/temp-dir.ts'
import { until } from '../support/until.ts'
import { CODE } from './fake-driver.ts'
import { createPod, DB, messages, startDriver, startWorld } from './kubelet-world.ts'

const BROKEN = { code: CODE.internal, details: 'VolumeIo: busy' }

test('a deleted pod stays until its volumes are unpublished, then nothing of it is left', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  let release = (): void => undefined
  driver.onUnpublish = () =>
    new Promise((resolve) => {
      release = () => {
        resolve(undefined)
      }
    })
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  cluster.objects.deletePod(pod)
  await driver.called('NodeUnpublishVolume', 1)
  t.is(cluster.kubelet.state(pod), 'Terminating')
  t.truthy(cluster.objects.pods.get(pod.uid))
  release()
  await cluster.kubelet.until(pod, 'Gone')
  t.is(cluster.objects.pods.get(pod.uid), undefined)
  t.deepEqual(driver.unpublishes(), [
    { volumeId: volumeIdOf(pod.uid, 'db'), targetPath: cluster.kubelet.targetPath(pod, 'db') },
  ] as never)
  t.deepEqual(readdirSync(join(cluster.kubeletRoot, 'pods')), [])
})

test('a failed unpublish is tried again until it works, and makes no event', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  driver.onUnpublish = () => BROKEN
  cluster.objects.deletePod(pod)
  for (const [tries, waitMs] of [500, 1_000, 2_000].entries()) {
    await driver.called('NodeUnpublishVolume', tries + 1)
    await cluster.kubelet.untilIdle(pod)
    await t.throwsAsync(cluster.kubelet.until(pod, 'Gone', 20), { message: /VolumeIo: busy/ })
    await clock.advance(waitMs - 1)
    t.is(driver.unpublishes().length, tries + 1)
    await clock.advance(1)
  }
  await driver.called('NodeUnpublishVolume', 4)
  await cluster.kubelet.untilIdle(pod)
  await t.throwsAsync(cluster.kubelet.until(pod, 'Gone', 20), { message: /Terminating/ })
  driver.onUnpublish = () => undefined
  await clock.advance(4_000)
  await cluster.kubelet.until(pod, 'Gone')
  t.deepEqual(messages(cluster, pod), [])
})

test('a pod that is going is not published again', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  driver.onUnpublish = () => BROKEN
  cluster.objects.deletePod(pod)
  await driver.called('NodeUnpublishVolume', 1)
  await cluster.kubelet.sync(pod)
  await clock.advance(200_000)
  t.is(driver.publishes().length, 1)
})

test('a force-deleted pod is gone at once, and its volumes are taken away all the same', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  cluster.objects.forceDelete(pod)
  t.is(cluster.objects.pods.get(pod.uid), undefined)
  t.is(cluster.kubelet.state(pod), 'Terminating')
  await cluster.kubelet.until(pod, 'Gone')
  t.is(driver.unpublishes().length, 1)
})

test('a publish that is held outlives its pod: it is unpublished when it has succeeded', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  let release = (): void => undefined
  driver.onPublish = () =>
    new Promise((resolve) => {
      release = () => {
        resolve(undefined)
      }
    })
  const pod = createPod(cluster)
  await driver.called('NodePublishVolume', 1)
  cluster.objects.deletePod(pod)
  t.is(cluster.objects.pods.get(pod.uid), undefined, 'a pod that never ran does not wait')
  t.false(driver.calls.at(-1)?.isCancelled())
  release()
  await cluster.kubelet.until(pod, 'Gone')
  t.is(driver.unpublishes().length, 1)
})

test('a publish that is held and then finally refused leaves nothing to unpublish', async (t) => {
  const { cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  let release = (): void => undefined
  driver.onPublish = () =>
    new Promise((resolve) => {
      release = () => {
        resolve({ code: CODE.notFound, details: 'SecretNotFound: no' })
      }
    })
  const pod = createPod(cluster)
  await driver.called('NodePublishVolume', 1)
  cluster.objects.forceDelete(pod)
  release()
  await cluster.kubelet.until(pod, 'Gone')
  t.is(driver.unpublishes().length, 0)
  t.deepEqual(readdirSync(join(cluster.kubeletRoot, 'pods')), [])
})

test('what is in a target that the driver calls unpublished is not removed: the pod stays', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster, { removesTarget: false })
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  cluster.objects.deletePod(pod)
  await driver.called('NodeUnpublishVolume', 1)
  await cluster.kubelet.untilIdle(pod)
  await t.throwsAsync(cluster.kubelet.until(pod, 'Gone', 50), {
    message: /Terminating and not Gone: remove .*\/mount: directory not empty$/,
  })
  const target = cluster.kubelet.targetPath(pod, 'db')
  t.deepEqual(readdirSync(target), ['password'])
  rmSync(join(target, 'password'))
  await clock.advance(500)
  await cluster.kubelet.until(pod, 'Gone')
})

test('one volume that cannot go keeps the pod, the others go', async (t) => {
  const { clock, cluster } = await startWorld(t)
  const driver = await startDriver(t, cluster)
  const pod = createPod(cluster, { volumes: [DB, { ...DB, name: 'second' }] })
  await cluster.kubelet.until(pod, 'Running')
  driver.onUnpublish = ({ targetPath }) => (targetPath.includes('/second/') ? BROKEN : undefined)
  cluster.objects.deletePod(pod)
  const parent = (name: string): string => dirname(cluster.kubelet.targetPath(pod, name))
  await until(() => !existsSync(parent('db')), { what: 'the first to go' })
  t.true(existsSync(parent('second')))
  driver.onUnpublish = () => undefined
  await clock.advance(500)
  await cluster.kubelet.until(pod, 'Gone')
})

test('a mount point is told from a folder, and from nothing', (t) => {
  t.true(isMountPoint('/proc'))
  t.false(isMountPoint(tempDir(t)))
  t.false(isMountPoint('/there/is/no/such/folder'))
})

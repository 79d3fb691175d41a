import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { unmountLazily } from '../../src/syscalls/mount-api.ts'
import { mountTest } from '../support/mount-namespace.ts'
import { mountsBelow, mountTmpfs } from '../support/tmpfs-world.ts'
import { CODE } from './fake-driver.ts'
import type { FakeDriver, Publish } from './fake-driver.ts'
import { createPod, messages, startDriver, startWorld } from './kubelet-world.ts'
import type { KubeletWorld } from './kubelet-world.ts'

/** Mounts a tmpfs with one file at the target, on top of which the fake driver does nothing. */
function mountVolume({ targetPath }: Publish): undefined {
  mkdirSync(targetPath)
  mountTmpfs(targetPath, 'latchkey-test')
  writeFileSync(join(targetPath, 'mounted'), 'hunter2')
}

async function startMounting(
  t: ExecutionContext,
): Promise<KubeletWorld & { readonly driver: FakeDriver }> {
  const world = await startWorld(t)
  const driver = await startDriver(t, world.cluster, { removesTarget: false })
  driver.onPublish = mountVolume
  t.teardown(() => {
    for (const mount of mountsBelow(world.cluster.kubeletRoot)) unmountLazily(mount.mountPoint)
  })
  return { ...world, driver }
}

mountTest('a pod reads what is mounted at its target', async (t) => {
  const { cluster } = await startMounting(t)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  t.is(String(await cluster.kubelet.readFile(pod, 'db', 'mounted')), 'hunter2')
})

mountTest(
  'a driver that says OK and leaves the mount makes the pod hang, unasked again',
  async (t) => {
    const { clock, cluster, driver } = await startMounting(t)
    const pod = createPod(cluster)
    await cluster.kubelet.until(pod, 'Running')
    cluster.objects.deletePod(pod)
    await driver.called('NodeUnpublishVolume', 1)
    await cluster.kubelet.untilIdle(pod)
    await clock.advance(300_000)
    t.is(driver.unpublishes().length, 1)
    t.is(cluster.kubelet.state(pod), 'Terminating')
    await t.throwsAsync(cluster.kubelet.until(pod, 'Gone', 20), {
      message: /\/mount is a mount point after NodeUnpublishVolume$/,
    })
  },
)

mountTest('a final refusal of a target that is mounted all the same removes nothing', async (t) => {
  const { cluster, driver } = await startMounting(t)
  driver.onPublish = (request) => {
    mountVolume(request)
    return { code: CODE.internal, details: 'Internal: after all' }
  }
  const pod = createPod(cluster)
  await t.throwsAsync(cluster.kubelet.until(pod, 'Running', 500), { message: /after all/ })
  t.true(messages(cluster, pod)[0]?.endsWith('desc = Internal: after all'))
  t.is(mountsBelow(cluster.kubeletRoot).length, 1)
  t.is(String(await cluster.kubelet.readFile(pod, 'db', 'mounted')), 'hunter2')
})

mountTest('stop empties nothing that is mounted still, and says where', async (t) => {
  const { cluster, driver } = await startMounting(t)
  const pod = createPod(cluster)
  await cluster.kubelet.until(pod, 'Running')
  await driver.stop()
  await cluster.kubelet.untilRegistered(driver.name, false)
  const target = cluster.kubelet.targetPath(pod, 'db')
  const error = await t.throwsAsync(cluster.stop(), { instanceOf: LatchkeyError })
  t.is(error.reason, 'VolumeIo')
  t.is(error.message, `${target}: is mounted still, and was not removed`)
  t.is(String(await cluster.kubelet.readFile(pod, 'db', 'mounted')), 'hunter2')
})

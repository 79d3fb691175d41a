import type { ExecutionContext } from 'ava'
import type { Clock } from '../../src/core/clock.ts'
import { startMinicluster } from '../../src/minicluster/minicluster.ts'
import type { Minicluster } from '../../src/minicluster/minicluster.ts'
import type { KubeletSettings } from '../../src/minicluster/kubelet.ts'
import { createServingPki } from '../../src/minicluster/pki.ts'
import type { PodSpec, PodVolume, StoredPod } from '../../src/minicluster/pod-store.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { tempDir } from '../support/temp-dir.ts'
import { FakeDriver } from './fake-driver.ts'
import type { FakeDriverOptions } from './fake-driver.ts'

export interface KubeletWorld {
  readonly clock: FakeClock
  readonly cluster: Minicluster
}

const PKI = createServingPki()

/** A minicluster whose time a test turns, gone with the test. */
export async function startWorld(
  t: ExecutionContext,
  settings: KubeletSettings = {},
): Promise<KubeletWorld> {
  const clock = new FakeClock()
  return { clock, cluster: await startCluster(t, clock, settings) }
}

export async function startCluster(
  t: ExecutionContext,
  clock: Clock,
  settings: KubeletSettings = {},
): Promise<Minicluster> {
  const kubelet = { random: () => 0, ...settings }
  const root = tempDir(t)
  const cluster = await startMinicluster({ root, clock, pki: await PKI, kubelet })
  t.teardown(() => cluster.stop())
  cluster.objects.createServiceAccount({ namespace: 'shop', name: 'api' })
  return cluster
}

/** A driver that kubelet has registered. */
export async function startDriver(
  t: ExecutionContext,
  { kubeletRoot, kubelet }: Minicluster,
  options: Omit<FakeDriverOptions, 'kubeletRoot'> = {},
): Promise<FakeDriver> {
  const driver = await FakeDriver.start({ kubeletRoot, ...options })
  t.teardown(() => driver.stop())
  await kubelet.untilRegistered(driver.name)
  return driver
}

export const DB: PodVolume = {
  name: 'db',
  csi: {
    driver: 'csi.latchkey.dev',
    readOnly: true,
    volumeAttributes: { secret: 'db-credentials', other: 'word' },
  },
}

export function createPod(
  { objects, nodeName }: Minicluster,
  changes: Partial<PodSpec> = {},
): StoredPod {
  return objects.createPod({
    namespace: 'shop',
    name: 'api-0',
    serviceAccount: 'api',
    node: nodeName,
    volumes: [DB],
    ...changes,
  })
}

/** The messages of a pod's events. */
export function messages(cluster: Minicluster, pod: StoredPod): readonly string[] {
  return cluster.kubelet.events(pod).map(({ message }) => message)
}

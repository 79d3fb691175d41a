import type { ExecutionContext } from 'ava'

import { readVersion } from '../../../src/cli/version.ts'
import type { ClusterNode } from '../cluster/cluster.ts'
import { LATCHKEY_IMAGE, NEXT_IMAGE, NEXT_VERSION } from '../cluster/images.ts'
import { until } from '../cluster/until.ts'
import { watchDriver } from './driver-gap.ts'
import type { KubeEvent, Pod } from './kube-objects.ts'
import {
  database,
  DB,
  latchkeyPod,
  setPassword,
  system,
  untilFile,
  untilMetric,
} from './latchkey.ts'
import { containerOf, makePlace, mountsOf, nodeStory, type Place } from './support.ts'

const STEADY = ['steady-0', 'steady-1', 'steady-2']
const CHURNERS = 3
/** What has failed in the gap is tried again after half a second, then after twice as long each time. */
const RETRY_MS = 5_000

/** Reads its file as fast as it is sensible, and notes what went wrong. */
const READ_FOREVER = `
import os, time
failures = 0
while True:
    try:
        with open("/volumes/db/password") as file:
            if not file.read(): failures += 1
    except OSError:
        failures += 1
    with open("/tmp/failures.new", "w") as log:
        log.write(str(failures))
    os.replace("/tmp/failures.new", "/tmp/failures")
    time.sleep(0.002)
`

/** Pods that come and go until told to stop; answers how many came. */
function churn(place: Place): { stop(): Promise<number> } {
  let isOver = false
  const one = async (worker: number): Promise<number> => {
    for (let n = 0; ; n += 1) {
      if (isOver) return n
      const name = `churn-${worker}-${n}`
      await place.applyConsumer(name, { serviceAccount: 'api', volumes: { db: DB } })
      await place.kubectl('wait', `pod/${name}`, '--for=condition=Ready', '--timeout=60s')
      await place.kubectl('delete', 'pod', name, '--timeout=60s')
    }
  }
  const workers = Promise.all(Array.from({ length: CHURNERS }, (_, worker) => one(worker)))
  // Told to whoever stops it.
  workers.catch(() => undefined)
  return {
    async stop() {
      isOver = true
      return (await workers).reduce((sum, count) => sum + count, 0)
    },
  }
}

function ours(node: ClusterNode, pod: Pod) {
  return mountsOf(node, pod).filter(({ source }) => source.startsWith('latchkey'))
}

async function failedMounts(place: Place): Promise<KubeEvent[]> {
  const selector = 'reason=FailedMount'
  const text = await place.kubectl('get', 'events', '--field-selector', selector, '-o', 'json')
  return (JSON.parse(text) as { items: KubeEvent[] }).items
}

/** Rolls the DaemonSet to the image while pods come and go, and says what they noticed. */
async function roll(
  t: ExecutionContext,
  node: ClusterNode,
  place: Place,
  image: string,
): Promise<void> {
  const gap = await watchDriver(t, node)
  const coming = churn(place)
  await system.kubectl('set', 'image', 'daemonset/latchkey', `host=${image}`, `daemon=${image}`)
  await system.kubectl('rollout', 'status', 'daemonset/latchkey', '--timeout=100s')
  const count = await coming.stop()
  const backAtMs = gap.backAtMs() ?? 0
  const { totalMs, longestMs, count: gaps } = gap.end()
  const failures = await failedMounts(place)
  const failed = failures.reduce((sum, event) => sum + (event.count ?? 1), 0)
  t.log(
    `rollout to ${image}: gap total=${totalMs}ms longest=${longestMs}ms gaps=${gaps}, ` +
      `pods that came and went=${count}, mounts that failed and healed=${failed}`,
  )
  t.true(gaps >= 1, 'the gap was seen')
  const late = failures.filter(
    ({ lastTimestamp }) => Date.parse(lastTimestamp ?? '') > backAtMs + RETRY_MS,
  )
  t.deepEqual(late, [], 'no mount fails once the driver is back')
}

nodeStory(
  'the DaemonSet is rolled to a new version and back while pods come and go',
  async (t, node) => {
    const place = await makePlace(t)
    await place.apply(...database(place))
    for (const name of STEADY) {
      await place.applyConsumer(name, {
        serviceAccount: 'api',
        volumes: { db: DB },
        container: { command: ['python3', '-c', READ_FOREVER] },
      })
    }
    const before = await Promise.all(STEADY.map((name) => place.waitForPod(name)))
    const mounted = before.map((pod) => ours(node, pod))
    t.teardown(async () => {
      const images = [`host=${LATCHKEY_IMAGE}`, `daemon=${LATCHKEY_IMAGE}`]
      await system.kubectl('set', 'image', 'daemonset/latchkey', ...images)
      await system.kubectl('rollout', 'status', 'daemonset/latchkey', '--timeout=100s')
    })
    for (const [image, version, password] of [
      [NEXT_IMAGE, NEXT_VERSION, 'after the upgrade'],
      [LATCHKEY_IMAGE, readVersion(), 'after the way back'],
    ] as const) {
      await roll(t, node, place, image)
      await untilMetric(`latchkey_host_build_info{version="${version}"}`, (value) => value === 1)
      await untilMetric('latchkey_host_adopted_volumes_total', (count) => count >= STEADY.length)
      await setPassword(place, password)
      for (const name of STEADY) await untilFile(place, name, '/volumes/db/password', password)
    }
    for (const [index, pod] of before.entries()) {
      const now = await place.findPod(pod.metadata.name)
      t.is(now?.metadata.uid, pod.metadata.uid)
      t.is(containerOf(now, 'app')?.restartCount, 0)
      t.deepEqual(ours(node, pod), mounted[index], 'the same mount, never made anew')
      const failures = await place.execText(pod.metadata.name, ['cat', '/tmp/failures'])
      t.is(failures, '0', 'no read of the file ever failed')
      await place.deletePod(pod.metadata.name)
      t.deepEqual(ours(node, pod), [], 'what one version mounted another one takes away')
    }
  },
)

nodeStory('a version that cannot even start leaves the node with the one it has', async (t) => {
  const place = await makePlace(t)
  await place.apply(...database(place))
  const before = await latchkeyPod()
  const image = 'localhost/latchkey:not-there'
  await system.kubectl('set', 'image', 'daemonset/latchkey', `host=${image}`, `daemon=${image}`)
  t.teardown(async () => {
    await system.kubectl('rollout', 'undo', 'daemonset/latchkey')
    await system.kubectl('rollout', 'status', 'daemonset/latchkey', '--timeout=100s')
  })
  await until(
    async () => {
      const { metadata, status } = await latchkeyPod()
      const waits = status.containerStatuses?.some(({ state }) => state?.waiting !== undefined)
      return metadata.uid !== before.metadata.uid && waits === true ? true : undefined
    },
    { what: 'a pod of the new version to wait for its image', withinMs: 60_000 },
  )
  await place.applyConsumer('app', { serviceAccount: 'api', volumes: { db: DB } })
  await place.waitForPod('app')
  t.is(await place.execText('app', ['cat', '/volumes/db/password']), 'one')
  await place.deletePod('app')
})

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import type { ExecutionContext } from 'ava'

import type { ClusterNode } from '../cluster/cluster.ts'
import { until } from '../cluster/until.ts'
import type { Pod } from './kube-objects.ts'
import {
  database,
  DB,
  latchkeyMounts,
  latchkeyPod,
  logLines,
  unworn,
  setPassword,
  system,
  untilFile,
} from './latchkey.ts'
import {
  containerOf,
  csiVolumePath,
  makePlace,
  nodeStory,
  restartKubelet,
  type Place,
} from './support.ts'

const COUNT = 6
/** kubelet's longest backoff for a volume, and then some. */
const CONVERGED_WITHIN_MS = 150_000
const ADOPTED_WITHIN_MS = 10_000
const LENGTH = 60_000

const names = (prefix: string): string[] =>
  Array.from({ length: COUNT }, (_, index) => `${prefix}-${index}`)

type Side = 'host' | 'daemon'

async function begin(
  t: ExecutionContext,
  victims: readonly Side[],
  password?: string,
): Promise<Place> {
  await unworn(...victims)
  const place = await makePlace(t)
  await place.apply(...database(place, password))
  return place
}

async function applyAll(place: Place, pods: readonly string[]): Promise<void> {
  for (const name of pods) {
    await place.applyConsumer(name, { serviceAccount: 'api', volumes: { db: DB } })
  }
}

async function killLatchkey(node: ClusterNode, ...containers: readonly string[]): Promise<void> {
  const pod = await latchkeyPod()
  await Promise.all(
    containers.map((name) =>
      node.killContainer(containerOf(pod, name)?.containerID ?? '', 'SIGKILL'),
    ),
  )
}

/** Every pod runs with its file, each has one mount, and the node has no other. */
async function assertConverged(
  t: ExecutionContext,
  node: ClusterNode,
  place: Place,
  pods: readonly string[],
  password: string,
  mayRestart = 0,
): Promise<Pod[]> {
  const running: Pod[] = []
  for (const name of pods) running.push(await place.waitForPod(name, CONVERGED_WITHIN_MS))
  for (const pod of running) {
    const file = join(csiVolumePath(node, pod, 'db'), 'password')
    await until(() => (readFileSync(file, 'utf8') === password ? true : undefined), {
      what: `the file of ${pod.metadata.name} to be current`,
      withinMs: CONVERGED_WITHIN_MS,
    })
    t.true((containerOf(pod, 'app')?.restartCount ?? 0) <= mayRestart)
  }
  t.deepEqual(
    latchkeyMounts(node).toSorted(),
    running.map((pod) => `/var/lib/kubelet/pods/${pod.metadata.uid}/${VOLUME}`).toSorted(),
  )
  return running
}

const VOLUME = 'volumes/kubernetes.io~csi/db/mount'

/** All pods go, and nothing of them stays: no mount, no folder. */
async function assertNothingStays(
  t: ExecutionContext,
  node: ClusterNode,
  place: Place,
  pods: readonly Pod[],
): Promise<void> {
  for (const { metadata } of pods) await place.waitForNoPod(metadata.name, CONVERGED_WITHIN_MS)
  t.deepEqual(latchkeyMounts(node), [])
  await until(
    () => {
      const left = pods.filter(({ metadata }) =>
        existsSync(join(node.kubeletRoot, 'pods', metadata.uid)),
      )
      return left.length === 0 ? true : undefined
    },
    { what: 'kubelet to take the folders of the pods away', withinMs: CONVERGED_WITHIN_MS },
  )
}

async function endAll(t: ExecutionContext, node: ClusterNode, place: Place, pods: Pod[]) {
  await place.kubectl('delete', 'pods', '--all', '--wait=false')
  await assertNothingStays(t, node, place, pods)
}

for (const [what, victim, mayRestart, strike] of [
  ['the host side is', 'host', 0, (node: ClusterNode) => killLatchkey(node, 'host')],
  ['the daemon is', 'daemon', 0, (node: ClusterNode) => killLatchkey(node, 'daemon')],
  [
    'the host side and kubelet are',
    'host',
    // Of a container that was made and not yet started, a new kubelet makes another one, and counts.
    1,
    async (node: ClusterNode) => {
      await Promise.all([killLatchkey(node, 'host'), node.kubelet.kill()])
      node.kubelet.start()
    },
  ],
] as const) {
  nodeStory(
    `${what} killed while ${COUNT} pods start: all of them run, nothing is left over`,
    async (t, node) => {
      const place = await begin(t, [victim])
      const pods = names('starting')
      await applyAll(place, pods)
      await until(() => (latchkeyMounts(node).length > 0 ? true : undefined), {
        what: 'the first of them to be mounted',
        withinMs: 30_000,
        everyMs: 1,
      })
      t.true(latchkeyMounts(node).length < COUNT, 'others are yet to come')
      await strike(node)
      const running = await assertConverged(t, node, place, pods, 'one', mayRestart)
      await endAll(t, node, place, running)
    },
  )
}

for (const container of ['host', 'daemon'] as const) {
  nodeStory(
    `the ${container} container is killed while files change: ${COUNT} pods end with the newest`,
    async (t, node) => {
      const place = await begin(t, [container], 'a'.repeat(LENGTH))
      const pods = names('reading')
      await applyAll(place, pods)
      const running = await assertConverged(t, node, place, pods, 'a'.repeat(LENGTH))
      const paths = running.map((pod) => join(csiVolumePath(node, pod, 'db'), 'password'))
      let isOver = false
      const torn: string[] = []
      const read = async (): Promise<void> => {
        while (!isOver) {
          for (const path of paths) {
            const text = readFileSync(path, 'utf8')
            if (text !== (text[0] ?? '').repeat(LENGTH)) torn.push(`${path}: ${text.length}`)
          }
          await new Promise(setImmediate)
        }
      }
      const reading = read()
      try {
        // Both take some tens of milliseconds to begin, and the change about ten to be everywhere.
        await Promise.all([setPassword(place, 'b'.repeat(LENGTH)), killLatchkey(node, container)])
        await setPassword(place, 'c'.repeat(LENGTH))
        await assertConverged(t, node, place, pods, 'c'.repeat(LENGTH))
      } finally {
        isOver = true
      }
      await reading
      t.deepEqual(torn, [])
    },
  )
}

nodeStory(
  'both sides are killed at once: mounts adopted within 10 s, fresh at the next republish',
  async (t, node) => {
    const place = await begin(t, ['host', 'daemon'])
    const pods = names('living')
    await applyAll(place, pods)
    await assertConverged(t, node, place, pods, 'one')
    const { metadata } = await latchkeyPod()
    await killLatchkey(node, 'host', 'daemon')
    // What no watch of the former daemon can have told of.
    await setPassword(place, 'two')
    const changedMs = Date.now()
    const restarted = await system.waitForPodThat(
      'both containers to be back',
      metadata.name,
      (pod) =>
        ['host', 'daemon'].every((name) => (containerOf(pod, name)?.restartCount ?? 0) > 0) &&
        containerOf(pod, 'host')?.ready === true,
    )
    const startedMs = Date.parse(containerOf(restarted, 'host')?.state?.running?.startedAt ?? '')
    const adopted = await until(
      async () => (await logLines('host')).find(({ msg }) => msg === 'host side started'),
      { what: 'the host side to say that it has started', withinMs: 30_000 },
    )
    t.is(adopted['count'], COUNT)
    // kubelet writes the start's time down to the second, so it may lie a second too early.
    const adoptedMs = Date.parse(adopted.time) - startedMs
    t.true(adoptedMs <= ADOPTED_WITHIN_MS + 1_000)
    for (const name of pods) await untilFile(place, name, '/volumes/db/password', 'two')
    t.log(
      `both killed: adopted after ${adoptedMs} ms, all fresh ${Date.now() - changedMs} ms later`,
    )
    await assertConverged(t, node, place, pods, 'two')
  },
)

nodeStory(
  `kubelet is killed while ${COUNT} pods end: all of them go, nothing is left over`,
  async (t, node) => {
    const place = await begin(t, [])
    const pods = names('ending')
    await applyAll(place, pods)
    const running = await assertConverged(t, node, place, pods, 'one')
    await place.kubectl('delete', 'pods', '--all', '--wait=false')
    await until(() => (latchkeyMounts(node).length < COUNT ? true : undefined), {
      what: 'the first of them to be unmounted',
      withinMs: 30_000,
      everyMs: 1,
    })
    await node.kubelet.kill()
    t.log(`killed with ${latchkeyMounts(node).length} of ${COUNT} still mounted`)
    await restartKubelet(node)
    await assertNothingStays(t, node, place, running)
  },
)

nodeStory(
  `host side and kubelet are killed while ${COUNT} pods end: nothing is left over`,
  async (t, node) => {
    const place = await begin(t, ['host'])
    const pods = names('ending')
    await applyAll(place, pods)
    const running = await assertConverged(t, node, place, pods, 'one')
    await place.kubectl('delete', 'pods', '--all', '--wait=false')
    await until(() => (latchkeyMounts(node).length < COUNT ? true : undefined), {
      what: 'the first of them to be unmounted',
      withinMs: 30_000,
      everyMs: 1,
    })
    await Promise.all([killLatchkey(node, 'host'), node.kubelet.kill()])
    await restartKubelet(node)
    await assertNothingStays(t, node, place, running)
  },
)

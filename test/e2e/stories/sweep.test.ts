import { existsSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import type { ExecutionContext } from 'ava'

import type { VolumeView } from '../../../src/cli/volume-view.ts'
import type { ClusterNode } from '../cluster/cluster.ts'
import { until } from '../cluster/until.ts'
import type { Pod } from './kube-objects.ts'
import { database, DB, latchkeyMounts, latchkeyPod, renewLatchkey, system } from './latchkey.ts'
import { containerOf, csiVolumePath, makePlace, nodeStory, startKubelet } from './support.ts'
import type { Place } from './support.ts'

const CONFIG = join(import.meta.dirname, '../../../deploy/kustomize/base/config.yaml')
/** The shortest that can be set; the promise is for this and a minute more. */
const GRACE_S = 10
const WIPED_WITHIN_MS = (GRACE_S + 60) * 1_000
/** The API server is asked once kubelet has stayed away for two and a half minutes. */
const ASKED_WITHIN_MS = 180_000

/** Has volumes of ended pods looked at for a shorter time, until the story ends. */
async function shortenGrace(t: ExecutionContext): Promise<void> {
  const shipped = readFileSync(CONFIG, 'utf8')
  t.teardown(async () => {
    await system.applyYaml(shipped)
    await renewLatchkey()
  })
  await system.applyYaml(`${shipped.trimEnd()}\n    volumes:\n      endedGrace: ${GRACE_S}s\n`)
  await renewLatchkey()
}

/** What `latchkey list` says on the node, also without a kubelet. */
async function list(node: ClusterNode, host: string): Promise<readonly VolumeView[]> {
  const { stdout } = await node.execContainer(host, ['latchkey', 'list', '--output', 'json'])
  return (JSON.parse(stdout.toString()) as { volumes: readonly VolumeView[] }).volumes
}

/** Waits until the list shows a pod's volume in a state, and gives what it says of it. */
async function untilListed(
  node: ClusterNode,
  host: string,
  pod: Pod,
  state: VolumeView['state'],
): Promise<string> {
  const view = await until(
    async () => {
      const volumes = await list(node, host)
      const found = volumes.find(({ uid }) => uid === pod.metadata.uid)
      if (found?.state === state) return found
      throw new Error(JSON.stringify(found))
    },
    { what: `latchkey list to show ${pod.metadata.name} as ${state}`, withinMs: 90_000 },
  )
  return view.message ?? ''
}

async function hostContainer(): Promise<string> {
  return containerOf(await latchkeyPod(), 'host')?.containerID ?? ''
}

function fileOf(node: ClusterNode, pod: Pod): string {
  return join(csiVolumePath(node, pod, 'db'), 'password')
}

/** As a lost disk or a careless hand would: without it kubelet never unpublishes. */
function loseRecord(node: ClusterNode, pod: Pod): void {
  rmSync(join(dirname(csiVolumePath(node, pod, 'db')), 'vol_data.json'))
}

async function untilWiped(node: ClusterNode, pod: Pod, withinMs: number): Promise<number> {
  const begunMs = performance.now()
  await until(() => (isMounted(node, pod) ? undefined : true), {
    what: `the volume of ${pod.metadata.name} to be wiped`,
    withinMs,
  })
  return Math.round(performance.now() - begunMs)
}

function isMounted(node: ClusterNode, { metadata }: Pod): boolean {
  return latchkeyMounts(node).some((mountPoint) => mountPoint.includes(metadata.uid))
}

async function runPods(place: Place, names: readonly string[]): Promise<Pod[]> {
  await place.apply(...database(place))
  for (const name of names) {
    await place.applyConsumer(name, { serviceAccount: 'api', volumes: { db: DB } })
  }
  return Promise.all(names.map((name) => place.waitForPod(name)))
}

function deleteByForce(place: Place, ...names: readonly string[]): Promise<string> {
  return place.kubectl('delete', 'pod', ...names, '--force', '--grace-period=0')
}

nodeStory(
  'pods deleted by force while kubelet is gone: files stay while a process lives, then they go',
  async (t, node) => {
    await shortenGrace(t)
    const place = await makePlace(t)
    const [lost, forgotten, alive] = await runPods(place, ['lost', 'forgotten', 'alive'])
    if (!lost || !forgotten || !alive) throw new Error('a pod is missing')
    const host = await hostContainer()
    await node.kubelet.kill()
    const goneMs = performance.now()
    t.teardown(async () => {
      if (!node.kubelet.isRunning()) await startKubelet(node)
    })
    loseRecord(node, lost)
    await deleteByForce(place, 'lost', 'forgotten')

    const says = await untilListed(node, host, lost, 'ending')
    t.regex(says, /kubelet's record of the volume is gone; .*process.* in the pod still/)
    // Longer than the grace time and two rounds of looks.
    await sleep((GRACE_S + 25) * 1_000)
    t.is(readFileSync(fileOf(node, lost), 'utf8'), 'one', 'its process lives')
    await node.endPod(lost.metadata.uid)
    const lostMs = await untilWiped(node, lost, WIPED_WITHIN_MS)

    // Of the other one kubelet's record is there, so only the API server can say that it has ended.
    t.is(readFileSync(fileOf(node, forgotten), 'utf8'), 'one')
    await until(
      async () => {
        const volumes = await list(node, host)
        const found = volumes.find(({ uid }) => uid === forgotten.metadata.uid)
        return found?.state === 'ending' ? true : undefined
      },
      { what: 'the API server to be asked', withinMs: ASKED_WITHIN_MS, everyMs: 1_000 },
    )
    const askedMs = Math.round(performance.now() - goneMs)
    t.is(readFileSync(fileOf(node, forgotten), 'utf8'), 'one', 'its process lives')
    await node.endPod(forgotten.metadata.uid)
    const forgottenMs = await untilWiped(node, forgotten, WIPED_WITHIN_MS)
    t.is(readFileSync(fileOf(node, alive), 'utf8'), 'one', 'nobody says that this one has ended')

    await startKubelet(node)
    t.log(
      `wiped after the last process: kubelet's record lost ${lostMs} ms, ` +
        `by the API server's word ${forgottenMs} ms (asked ${askedMs} ms after kubelet went)`,
    )
    t.is(await place.execText('alive', ['cat', '/volumes/db/password']), 'one')
    for (const pod of [lost, forgotten]) {
      await until(
        () => (existsSync(join(node.kubeletRoot, 'pods', pod.metadata.uid)) ? undefined : true),
        { what: `kubelet to remove the folder of ${pod.metadata.name}`, withinMs: 90_000 },
      )
    }
  },
)

nodeStory(
  'a pod deleted by force, with no proof that it has ended: files stay and the list says so',
  async (t, node) => {
    await shortenGrace(t)
    // Without its own uid the host side cannot tell whether it sees the node's cgroups.
    await system.kubectl('set', 'env', 'daemonset/latchkey', '-c', 'host', 'POD_UID-')
    const manifest = ['patch', 'daemonset', 'latchkey', '--type=strategic', '-p', POD_UID]
    t.teardown(() => system.kubectl(...manifest))
    await system.kubectl('rollout', 'status', 'daemonset/latchkey', '--timeout=100s')
    const place = await makePlace(t)
    const [pod] = await runPods(place, ['app'])
    if (!pod) throw new Error('the pod is missing')
    await node.kubelet.kill()
    loseRecord(node, pod)
    await deleteByForce(place, 'app')
    await node.endPod(pod.metadata.uid)
    await startKubelet(node)
    const says = await untilListed(node, await hostContainer(), pod, 'stranded')
    t.log(`latchkey list: ${says}`)
    t.is(readFileSync(fileOf(node, pod), 'utf8'), 'one')

    await system.kubectl(...manifest)
    await system.kubectl('rollout', 'status', 'daemonset/latchkey', '--timeout=100s')
    t.log(`with a proof it was wiped after ${await untilWiped(node, pod, WIPED_WITHIN_MS)} ms`)
  },
)

const POD_UID = JSON.stringify({
  spec: {
    template: {
      spec: {
        containers: [
          {
            name: 'host',
            env: [{ name: 'POD_UID', valueFrom: { fieldRef: { fieldPath: 'metadata.uid' } } }],
          },
        ],
      },
    },
  },
})

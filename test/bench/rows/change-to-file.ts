import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { until } from '../../e2e/cluster/until.ts'
import { consumerPod, type Pod } from '../../e2e/stories/kube-objects.ts'
import type { ClusterWorld } from '../worlds/cluster-world.ts'
import { timedMs } from '../figures/interleave.ts'
import { percentile } from '../figures/spread.ts'
import { kubeletVolume, makeSecrets, ourVolume, OWNER } from '../node/cluster-objects.ts'
import type { Row } from '../row.ts'

const NAMESPACE = 'bench-changes'
const WATCHED = ['one', 'two', 'three', 'four', 'five'] as const
const KUBELETS = ['k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7', 'k8', 'k9'] as const
/** A volume takes a new generation every half second at most; closer changes would measure that. */
const PAUSE_MS = 600
/** kubelet looks about once a minute: its changes are spread over one. */
const SPREAD_MS = 60_000
const WITHIN_MS = 240_000

export const changeToFile: Row<ClusterWorld> = {
  name: 'change-to-file',
  title: "A Secret's change to the file, by watch",
  compares:
    'From before the patch is sent until the file on the node has the new value, on a real node: 200 changes in Latchkey volumes, against ' +
    "10 changes, spread over a minute of the same run, in kubelet's own Secret volumes, with kubelet's default of a minute between its looks.",
  needs: ['root', 'api server', 'cluster'],
  async measure(world) {
    await world.makeNamespace(NAMESPACE)
    await makeSecrets(world.api, NAMESPACE, [...WATCHED, ...KUBELETS])
    const pod = await startPod(world)
    const volumes = join(world.node.kubeletRoot, 'pods', pod.metadata.uid, 'volumes')
    const ourFile = (name: string): string =>
      join(volumes, 'kubernetes.io~csi', name, 'mount', 'value')
    const theirFile = (name: string): string => join(volumes, 'kubernetes.io~secret', name, 'value')
    // Until a watch is there, changes are noticed by its start.
    await sleep(3_000)
    const changes = world.scale(40, 5)
    const due = KUBELETS.slice(0, world.scale(KUBELETS.length, 2))
    const [ours, theirs] = await Promise.all([
      Promise.all(WATCHED.map((name) => changeOften(world, name, ourFile(name), changes))),
      Promise.all(
        due.map(async (name, index) => {
          await sleep((index * SPREAD_MS) / KUBELETS.length)
          return change(world, name, theirFile(name), { value: 'after', everyMs: 100 })
        }),
      ),
    ])
    const seen = { ours: ours.flat(), theirs }
    return [
      {
        name: 'p50',
        unit: 'ms',
        ours: percentile(seen.ours, 0.5),
        theirs: percentile(seen.theirs, 0.5),
      },
      {
        name: "p99, against kubelet's longest",
        unit: 'ms',
        ours: percentile(seen.ours, 0.99),
        theirs: percentile(seen.theirs, 0.99),
        goal: { of: 'ours', is: 'at most', bound: 1000 },
      },
    ]
  },
}

/** One pod that has all of them. */
async function startPod({ api, consumerImage }: ClusterWorld): Promise<Pod> {
  const volumes = Object.fromEntries([
    ...WATCHED.map((name) => [name, ourVolume(name)] as const),
    ...KUBELETS.map((name) => [name, kubeletVolume(name)] as const),
  ])
  const pods = `/api/v1/namespaces/${NAMESPACE}/pods`
  await api.post(pods, consumerPod('app', consumerImage, { serviceAccount: OWNER, volumes }))
  const find = async (): Promise<Pod | undefined> => {
    const pod = (await api.get(`${pods}/app`)) as Pod
    return pod.status.phase === 'Running' ? pod : undefined
  }
  return until(find, { what: 'the pod to run', withinMs: 60_000 })
}

async function changeOften(
  world: ClusterWorld,
  name: string,
  file: string,
  changes: number,
): Promise<readonly number[]> {
  const tookMs: number[] = []
  for (let n = 1; n <= changes; n += 1) {
    await sleep(PAUSE_MS)
    tookMs.push(await change(world, name, file, { value: `${name} ${n}`, everyMs: 2 }))
  }
  return tookMs
}

/** Changes a Secret and waits for the file, looking that often; answers how long it took. */
function change(
  { api }: ClusterWorld,
  name: string,
  file: string,
  { value, everyMs }: { readonly value: string; readonly everyMs: number },
): Promise<number> {
  const data = { value: Buffer.from(value).toString('base64') }
  return timedMs(async () => {
    await api.patch(`/api/v1/namespaces/${NAMESPACE}/secrets/${name}`, { data })
    await until(() => (readFileSync(file, 'utf8') === value ? true : undefined), {
      what: `a change of Secret ${name} to reach its file`,
      withinMs: WITHIN_MS,
      everyMs,
    })
  })
}

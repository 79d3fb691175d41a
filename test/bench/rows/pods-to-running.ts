import { consumerPod } from '../../e2e/stories/kube-objects.ts'
import { until } from '../../e2e/cluster/until.ts'
import type { ClusterWorld } from '../worlds/cluster-world.ts'
import { interleave, timedMs } from '../figures/interleave.ts'
import { median } from '../figures/spread.ts'
import { kubeletVolume, makeSecrets, ourVolume, OWNER } from '../node/cluster-objects.ts'
import type { Row } from '../row.ts'

const NAMESPACE = 'bench-pods'
const RUNNING_WITHIN_MS = 180_000
const pods = `/api/v1/namespaces/${NAMESPACE}/pods`

interface SeenPod {
  readonly metadata: { readonly name: string }
  readonly status: { readonly phase: string }
}

export const podsToRunning: Row<ClusterWorld> = {
  name: 'pods-to-running',
  title: 'Pods to Running, 50 at once',
  compares:
    'From the first of 50 pods being sent to the API server until the last is Running, on a real node with a real kubelet and ' +
    "containerd: with a Latchkey volume, against the same pods with kubelet's own volume of the same Secret, and with no volume.",
  needs: ['root', 'api server', 'cluster'],
  async measure(world) {
    await world.makeNamespace(NAMESPACE)
    await makeSecrets(world.api, NAMESPACE, ['db'])
    const count = world.scale(50, 10)
    let made = 0
    const run = (volumes: Readonly<Record<string, object>>) => async (): Promise<number> => {
      const prefix = `p${(made += 1)}-`
      const tookMs = await timedMs(() => startPods(world, prefix, count, volumes))
      await endPods(world, prefix)
      return tookMs
    }
    const contenders = {
      ours: run({ db: ourVolume('db') }),
      kubelets: run({ db: kubeletVolume('db') }),
      none: run({}),
    }
    // The first pods of a node make its bridge and read the image.
    await contenders.none()
    const seen = await interleave(world.scale(4, 1), contenders)
    const ours = median(seen.ours) / 1000
    return [
      {
        name: `${count} pods, against kubelet's Secret volume`,
        unit: 's',
        ours,
        theirs: median(seen.kubelets) / 1000,
        goal: { of: 'ratio', is: 'at most', bound: 1.1 },
      },
      {
        name: `${count} pods, against no volume`,
        unit: 's',
        ours,
        theirs: median(seen.none) / 1000,
      },
    ]
  },
}

async function startPods(
  { api, consumerImage }: ClusterWorld,
  prefix: string,
  count: number,
  volumes: Readonly<Record<string, object>>,
): Promise<void> {
  const running = new Set<string>()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const watching = new AbortController()
  await api.watch(`${pods}?watch=1`, watching.signal, (object) => {
    const { metadata, status } = object as SeenPod
    if (metadata.name.startsWith(prefix) && status.phase === 'Running') running.add(metadata.name)
    if (running.size === count) resolve()
  })
  const late = setTimeout(() => {
    reject(new Error(`only ${running.size} of ${count} pods were Running in time`))
  }, RUNNING_WITHIN_MS)
  try {
    const names = Array.from({ length: count }, (_, index) => `${prefix}${index}`)
    const options = { serviceAccount: OWNER, volumes }
    await Promise.all(
      names.map((name) => api.post(pods, consumerPod(name, consumerImage, options))),
    )
    await promise
  } finally {
    clearTimeout(late)
    watching.abort()
  }
}

async function endPods({ api }: ClusterWorld, prefix: string): Promise<void> {
  const own = async (): Promise<readonly string[]> => {
    const { items } = (await api.get(pods)) as { readonly items: readonly SeenPod[] }
    return items.map(({ metadata }) => metadata.name).filter((name) => name.startsWith(prefix))
  }
  for (const name of await own()) await api.delete(`${pods}/${name}`, 1)
  await until(async () => ((await own()).length === 0 ? true : undefined), {
    what: 'the pods of a round to be gone',
    withinMs: RUNNING_WITHIN_MS,
    everyMs: 500,
  })
}

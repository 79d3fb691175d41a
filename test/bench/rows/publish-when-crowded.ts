import { interleave, timedMs } from '../figures/interleave.ts'
import { percentile } from '../figures/spread.ts'
import { inBatches, type BenchPod } from '../node/bench-objects.ts'
import type { LatchkeyNode } from '../node/latchkey-node.ts'
import type { Row } from '../row.ts'
import type { Cluster, SealedWorld } from '../worlds/sealed-world.ts'

const FEW = 10
const WARM_UP = 30
const PUBLISHES_AT_ONCE = 20

export const publishWhenCrowded: Row<SealedWorld> = {
  name: 'publish-when-crowded',
  title: 'Publish with 1,000 volumes mounted',
  compares:
    'NodePublishVolume on a node with 1,000 volumes of 1,000 pods, each with a Secret and a service account of its own, against ' +
    'the same on a node with 10 of them; two nodes side by side, by turns. What was published is unpublished before the next turn.',
  needs: ['root', 'api server'],
  async measure(world) {
    const cluster = await world.cluster()
    const many = world.scale(1000, 150)
    const crowded = await occupy(world, cluster, many)
    const roomy = await occupy(world, cluster, FEW)
    const rounds = world.scale(200, 40)
    const turns = (count: number) =>
      interleave(count, {
        ours: () => publishOnce(cluster, crowded),
        theirs: () => publishOnce(cluster, roomy),
      })
    await turns(WARM_UP)
    const { ours, theirs } = await turns(rounds)
    return [
      {
        name: `p50 with ${many}, with ${FEW}`,
        unit: 'ms',
        ours: percentile(ours, 0.5),
        theirs: percentile(theirs, 0.5),
        goal: { of: 'ratio', is: 'at most', bound: 1.2 },
      },
    ]
  },
}

async function occupy(world: SealedWorld, cluster: Cluster, count: number): Promise<LatchkeyNode> {
  const node = await world.startNode()
  const pods = await cluster.objects.makePods(count, 'each its own')
  node.kubelet.prepare(pods)
  await inBatches(pods, PUBLISHES_AT_ONCE, (pod) => node.kubelet.publish(pod))
  return node
}

async function publishOnce({ objects }: Cluster, { kubelet }: LatchkeyNode): Promise<number> {
  const [pod] = (await objects.makePods(1)) as [BenchPod]
  kubelet.prepare([pod])
  const tookMs = await timedMs(() => kubelet.publish(pod))
  await kubelet.unpublish(pod)
  return tookMs
}

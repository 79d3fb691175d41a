import { interleave, timedMs } from '../figures/interleave.ts'
import { percentile } from '../figures/spread.ts'
import { BareCalls } from '../node/bare-calls.ts'
import type { Row } from '../row.ts'
import type { SealedWorld } from '../worlds/sealed-world.ts'

const WARM_UP = 40

export const publishOneByOne: Row<SealedWorld> = {
  name: 'publish-one-by-one',
  title: 'Publish, one after the other, real API server',
  compares:
    'NodePublishVolume over the CSI socket, from the call to its answer, against a TokenReview and a Secret read with ' +
    "the pod's token from the same Node, over kept connections; each time with a pod and tokens that are new to the API server.",
  needs: ['root', 'api server'],
  async measure(world) {
    const cluster = await world.cluster()
    const { kubelet } = await world.startNode()
    const bare = new BareCalls(cluster, 1)
    const rounds = world.scale(400, 60)
    const pods = await cluster.objects.makePods(rounds + WARM_UP)
    const others = await cluster.objects.makePods(rounds + WARM_UP)
    kubelet.prepare(pods)
    const turns = (first: number, count: number) =>
      interleave(count, {
        ours: (round) => timedMs(() => kubelet.publish(at(pods, first + round))),
        theirs: (round) => timedMs(() => bare.publish(at(others, first + round))),
      })
    await turns(0, WARM_UP)
    const { ours, theirs } = await turns(WARM_UP, rounds)
    await bare.close()
    return [
      {
        name: 'p50',
        unit: 'ms',
        ours: percentile(ours, 0.5),
        theirs: percentile(theirs, 0.5),
        goal: { of: 'ratio', is: 'at most', bound: 2 },
      },
      {
        name: 'p99',
        unit: 'ms',
        ours: percentile(ours, 0.99),
        theirs: percentile(theirs, 0.99),
        goal: { of: 'ratio', is: 'at most', bound: 3 },
      },
    ]
  },
}

function at<T>(items: readonly T[], index: number): T {
  const item = items[index]
  if (item === undefined) throw new RangeError(`there are only ${items.length} pods`)
  return item
}

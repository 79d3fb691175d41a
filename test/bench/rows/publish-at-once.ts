import { interleave, timedMs } from '../figures/interleave.ts'
import { median } from '../figures/spread.ts'
import { BareCalls } from '../node/bare-calls.ts'
import type { Row } from '../row.ts'
import type { SealedWorld } from '../worlds/sealed-world.ts'

const PODS = 100
const CONNECTIONS = 16
const WARM_UP = 2

export const publishAtOnce: Row<SealedWorld> = {
  name: 'publish-at-once',
  title: '100 volumes of 100 pods published at once, real API server',
  compares:
    'All 100 calls of NodePublishVolume in the same moment, until the last is answered, against the 200 bare calls ' +
    'underneath (TokenReview, then Secret read) from the same Node over 16 connections; every round with new pods and tokens.',
  needs: ['root', 'api server'],
  async measure(world) {
    const cluster = await world.cluster()
    const { kubelet } = await world.startNode()
    const bare = new BareCalls(cluster, CONNECTIONS)
    const { objects } = cluster
    const turns = (rounds: number) =>
      interleave(rounds, {
        async ours() {
          const pods = await objects.makePods(PODS)
          kubelet.prepare(pods)
          const tookMs = await timedMs(() => Promise.all(pods.map((pod) => kubelet.publish(pod))))
          await Promise.all(pods.map((pod) => kubelet.unpublish(pod)))
          return tookMs
        },
        async theirs() {
          const pods = await objects.makePods(PODS)
          return timedMs(() => Promise.all(pods.map((pod) => bare.publish(pod))))
        },
      })
    await turns(WARM_UP)
    const { ours, theirs } = await turns(world.scale(9, 3))
    await bare.close()
    return [
      {
        name: 'until the last is done',
        unit: 'ms',
        ours: median(ours),
        theirs: median(theirs),
        goal: { of: 'ratio', is: 'at most', bound: 2 },
      },
    ]
  },
}

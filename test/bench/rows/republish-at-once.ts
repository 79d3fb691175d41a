import { timedMs } from '../figures/interleave.ts'
import { median, percentile } from '../figures/spread.ts'
import { inBatches } from '../node/bench-objects.ts'
import type { Row } from '../row.ts'
import type { SealedWorld } from '../worlds/sealed-world.ts'

const VOLUMES = 100
const WARM_UP = 3
const PUBLISHES_AT_ONCE = 20

export const republishAtOnce: Row<SealedWorld> = {
  name: 'republish-at-once',
  title: '100 republishes at once, nothing changed',
  compares:
    'NodePublishVolume of 100 mounted volumes in the same moment, with the tokens that Latchkey knows; requests are ' +
    "counted by the API server's audit log. One and the same process calls all 100, and its own time is in each of them.",
  needs: ['root', 'api server'],
  async measure(world) {
    const { objects, plane } = await world.cluster()
    const { kubelet } = await world.startNode()
    const pods = await objects.makePods(VOLUMES)
    kubelet.prepare(pods)
    await inBatches(pods, PUBLISHES_AT_ONCE, (pod) => kubelet.publish(pod))
    const roundMs: number[] = []
    const callMs: number[] = []
    const republish = (): Promise<readonly number[]> =>
      Promise.all(pods.map((pod) => timedMs(() => kubelet.publish(pod))))
    for (let n = 0; n < WARM_UP; n += 1) await republish()
    const before = plane.latchkeyRequests().length
    for (let round = 0; round < world.scale(15, 5); round += 1) {
      roundMs.push(await timedMs(async () => callMs.push(...(await republish()))))
    }
    const requests = plane.latchkeyRequests().length - before
    const aloneMs: number[] = []
    for (const pod of pods) aloneMs.push(await timedMs(() => kubelet.publish(pod)))
    return [
      {
        name: 'requests to the API server',
        unit: '',
        ours: requests,
        goal: { of: 'ours', is: 'at most', bound: 0 },
      },
      {
        name: 'p50 of a call, 100 at once',
        unit: 'ms',
        ours: percentile(callMs, 0.5),
        goal: { of: 'ours', is: 'under', bound: 5 },
      },
      { name: 'until the last is done', unit: 'ms', ours: median(roundMs) },
      { name: 'p50 of a call, one by one', unit: 'ms', ours: percentile(aloneMs, 0.5) },
    ]
  },
}

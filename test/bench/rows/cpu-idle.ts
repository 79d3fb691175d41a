import { setTimeout as sleep } from 'node:timers/promises'

import { inBatches, type BenchPod } from '../node/bench-objects.ts'
import type { LatchkeyNode } from '../node/latchkey-node.ts'
import { cpuMsOf } from '../node/process-costs.ts'
import type { Row } from '../row.ts'
import type { SealedWorld } from '../worlds/sealed-world.ts'

const VOLUMES = 110
const PUBLISHES_AT_ONCE = 20
/** About how often kubelet publishes each volume again; the node's are spread over it. */
const REPUBLISH_MS = 60_000
const GOAL = { of: 'ours', is: 'under', bound: 0.2 } as const

export const cpuIdle: Row<SealedWorld> = {
  name: 'cpu-idle',
  title: 'CPU idle with 110 volumes',
  compares:
    'CPU time of both sides together, as a share of one core, while nothing changes: with no call at all, and with kubelet ' +
    'publishing each volume again once a minute. All 110 pods have a Secret of their own, which is watched.',
  needs: ['root', 'api server'],
  async measure(world) {
    const { objects } = await world.cluster()
    const node = await world.startNode()
    const pods = await objects.makePods(VOLUMES, 'each its own')
    node.kubelet.prepare(pods)
    await inBatches(pods, PUBLISHES_AT_ONCE, (pod) => node.kubelet.publish(pod))
    // For the burst of publishes to be over, with the garbage that it left.
    await sleep(world.scale(60_000, 10_000))
    const windowMs = world.scale(60_000, 12_000)
    const quiet = await shareOfCore(node, windowMs, () => sleep(windowMs))
    const usual = await shareOfCore(node, windowMs, () => republish(node, pods, windowMs))
    return [
      { name: 'with no call', unit: '%', ours: quiet, goal: GOAL },
      { name: 'with republishes', unit: '%', ours: usual, goal: GOAL },
    ]
  },
}

/** Percent of one core that both sides used meanwhile. */
async function shareOfCore(
  { hostPid, daemonPid }: LatchkeyNode,
  windowMs: number,
  meanwhile: () => Promise<unknown>,
): Promise<number> {
  const now = (): number => cpuMsOf(hostPid) + cpuMsOf(daemonPid)
  const before = now()
  await meanwhile()
  return (100 * (now() - before)) / windowMs
}

async function republish(
  { kubelet }: LatchkeyNode,
  pods: readonly BenchPod[],
  windowMs: number,
): Promise<void> {
  const everyMs = REPUBLISH_MS / pods.length
  const begunMs = performance.now()
  for (let n = 0; n * everyMs < windowMs; n += 1) {
    await sleep(Math.max(0, begunMs + n * everyMs - performance.now()))
    const pod = pods[n % pods.length]
    if (pod !== undefined) await kubelet.publish(pod)
  }
  await sleep(Math.max(0, begunMs + windowMs - performance.now()))
}

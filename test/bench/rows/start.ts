import { execFileSync } from 'node:child_process'

import { interleave, timedMs } from '../figures/interleave.ts'
import { median } from '../figures/spread.ts'
import type { Row } from '../row.ts'
import type { SealedWorld } from '../worlds/sealed-world.ts'

export const start: Row<SealedWorld> = {
  name: 'start',
  title: 'Start: from the process to registered, and to the first publish',
  compares:
    'From the start of the host side to the moment in which kubelet tells it that it is registered, and from the start of both sides ' +
    'together to the answer of a publish that kubelet sends when it has; against a bare `node -e 0` from start to end.',
  needs: ['root', 'api server'],
  async measure(world) {
    const { objects } = await world.cluster()
    const bare = (): Promise<number> => {
      const run = (): Promise<Buffer> =>
        Promise.resolve(execFileSync(process.execPath, ['-e', '0']))
      return timedMs(run)
    }
    const toRegistered = async (): Promise<number> => {
      const node = await world.makeNode()
      node.startDaemon()
      const tookMs = await timedMs(() => {
        node.startHost()
        return node.untilRegistered()
      })
      await node.stop()
      return tookMs
    }
    const toFirstPublish = async (): Promise<number> => {
      const node = await world.makeNode()
      const pods = await objects.makePods(1)
      node.kubelet.prepare(pods)
      const tookMs = await timedMs(async () => {
        node.startDaemon()
        node.startHost()
        await node.untilRegistered()
        await Promise.all(pods.map((pod) => node.kubelet.publish(pod)))
      })
      await node.stop()
      return tookMs
    }
    // The first starts read the files from the disk.
    await interleave(1, { bare, toRegistered, toFirstPublish })
    const seen = await interleave(world.scale(11, 3), { bare, toRegistered, toFirstPublish })
    const theirs = median(seen.bare)
    return [
      {
        name: 'to registered',
        unit: 'ms',
        ours: median(seen.toRegistered),
        theirs,
        goal: { of: 'ratio', is: 'at most', bound: 3 },
      },
      { name: 'to the first publish', unit: 'ms', ours: median(seen.toFirstPublish), theirs },
    ]
  },
}

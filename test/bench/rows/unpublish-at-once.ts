import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

import { runTimed } from '../c/program.ts'
import { interleave, timedMs } from '../figures/interleave.ts'
import { median, percentile } from '../figures/spread.ts'
import { inBatches } from '../node/bench-objects.ts'
import type { Row } from '../row.ts'
import type { SealedWorld } from '../worlds/sealed-world.ts'

const VOLUMES = 100
const WARM_UP = 2
/** As the Secret of the bench has them. */
const FILES = 2
const FILE_BYTES = 32
const PUBLISHES_AT_ONCE = 20

export const unpublishAtOnce: Row<SealedWorld> = {
  name: 'unpublish-at-once',
  title: '100 volumes unpublished at once',
  compares:
    'All 100 calls of NodeUnpublishVolume in the same moment, until the last is answered, against a C program that zeroes, ' +
    'empties, unmounts and removes 100 such volumes by the same system calls, one after the other, with no socket in between.',
  needs: ['root', 'compiler', 'api server'],
  async measure(world) {
    const program = await world.compile('volumes')
    const { objects } = await world.cluster()
    const { kubelet } = await world.startNode()
    const pods = await objects.makePods(VOLUMES)
    kubelet.prepare(pods)
    const theirs = join(world.folder, 'unpublish')
    mkdirSync(theirs)
    const turns = (rounds: number) =>
      interleave(rounds, {
        async ours() {
          await inBatches(pods, PUBLISHES_AT_ONCE, (pod) => kubelet.publish(pod))
          return timedMs(() => Promise.all(pods.map((pod) => kubelet.unpublish(pod))))
        },
        theirs: () =>
          Promise.resolve(runTimed(program, ['remove', theirs, VOLUMES, FILES, FILE_BYTES])),
      })
    await turns(WARM_UP)
    const seen = await turns(world.scale(11, 4))
    await inBatches(pods, PUBLISHES_AT_ONCE, (pod) => kubelet.publish(pod))
    const aloneMs: number[] = []
    for (const pod of pods) aloneMs.push(await timedMs(() => kubelet.unpublish(pod)))
    const figure = { unit: 'ms', ours: median(seen.ours) }
    return [
      {
        ...figure,
        name: 'until the last is done',
        theirs: median(seen.theirs),
        goal: { of: 'ratio', is: 'at most', bound: 3 },
      },
      { ...figure, name: 'the same, by the clock', goal: { of: 'ours', is: 'under', bound: 300 } },
      { name: 'p50 of a call, one by one', unit: 'ms', ours: percentile(aloneMs, 0.5) },
    ]
  },
}

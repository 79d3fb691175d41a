import { mountTestWithOwners } from '../support/mount-namespace.ts'
import { openLane } from './lane.ts'
import { describeTally, soak, WORLDS } from './soak.ts'

/** A start costs a third of a second of a core; the thousand are CI's, by `npm run soak`. */
const CYCLES = 100
const SEED = 1
const TIMEOUT_MS = 1_800_000

mountTestWithOwners(
  `${CYCLES} random operations with a kill -9 in each leave whole, current files and nothing else`,
  async (t) => {
    t.timeout(TIMEOUT_MS)
    const said: string[] = []
    const lane = await openLane(WORLDS)
    const say = (line: string): void => {
      said.push(line)
    }
    const tally = await soak(lane, { cycles: CYCLES, seed: SEED }, say).finally(() => lane.close())
    const { cycles, killed, found } = tally
    t.log(describeTally(tally))
    t.deepEqual(
      found,
      { orphans: 0, leftovers: 0, empty: 0, torn: 0, lost: 0, strays: 0 },
      said.join('\n'),
    )
    t.is(cycles, CYCLES)
    t.true(killed >= CYCLES)
  },
)

import { mountTestWithOwners } from '../support/mount-namespace.ts'
import { noneFound } from './findings.ts'
import { openLane } from './lane.ts'
import { describeTally, soak, WORLDS } from './soak.ts'

const CYCLES = 60
const SEED = 2
const TIMEOUT_MS = 1_800_000

mountTestWithOwners(
  `${CYCLES} kills while pods get, renew and give back users of a database leave those of the living pods alone`,
  async (t) => {
    t.timeout(TIMEOUT_MS)
    const said: string[] = []
    const lane = await openLane(WORLDS)
    const say = (line: string): void => {
      said.push(line)
    }
    const options = { cycles: CYCLES, seed: SEED, isLeasing: true }
    const tally = await soak(lane, options, say).finally(() => lane.close())
    t.log(describeTally(tally, true))
    t.deepEqual(tally.found, noneFound(), said.join('\n'))
    t.is(tally.cycles, CYCLES)
    t.true(tally.killed >= CYCLES)
  },
)

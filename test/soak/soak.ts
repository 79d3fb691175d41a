import { Chance } from './chance.ts'
import { depopulate, populate, runCycle } from './cycle.ts'
import { describePlan, drawCycle, drawLeasingCycle } from './cycle-plan.ts'
import {
  describeCounts,
  describeFinding,
  noneFound,
  type Counts,
  type Finding,
} from './findings.ts'
import type { Lane } from './lane.ts'
import type { SoakOptions } from './options.ts'
import type { World } from './world.ts'

/** Side by side; a cycle belongs to the same one in every run, so that a seed says what happens. */
export const WORLDS = 4

const READ_EVERY_MS = 20
const REPORT_EVERY = 100
const DAY_MS = 86_400_000
/** A session that nobody goes on with ends soon enough to be waited for. */
const SHORT_TTL_MS = 30_000

export interface Tally {
  readonly cycles: number
  readonly killed: number
  readonly found: Readonly<Counts>
}

/** Kills and recovers, over and over; `say` gets what somebody who watches wants to know. */
export async function soak(
  lane: Lane,
  { cycles, seed, isLeasing = false }: Pick<SoakOptions, 'cycles' | 'seed'> & Partial<SoakOptions>,
  say: (line: string) => void,
): Promise<Tally> {
  const found = noneFound()
  let killed = 0
  let done = 0
  const live = async (index: number): Promise<void> => {
    const chance = new Chance(Math.imul(seed + 1, 2_654_435_761) + index)
    // Only one of them loses bookmarks: in the others no user may be left behind, not even for a while.
    const isHostSpared = index !== 0
    const ttlMs = isHostSpared ? DAY_MS : SHORT_TTL_MS
    const sessionTtlMs = isLeasing ? ttlMs : undefined
    let next = index
    while (next < cycles) {
      await lane.withWorld(async (world) => {
        next = await liveOn(world, next)
      }, sessionTtlMs)
    }

    /** In one world, until all cycles are done or something is found; answers the next cycle. */
    async function liveOn(world: World, first: number): Promise<number> {
      void world.readAlong(READ_EVERY_MS)
      note('the start of a world', world, await populate(world))
      let cycle = first
      let isWell = true
      while (isWell && cycle < cycles) {
        const plan = isLeasing ? drawLeasingCycle(chance, isHostSpared) : drawCycle(chance)
        const findings = await attempt(() => runCycle(world, plan, chance))
        note(`cycle ${cycle} (${describePlan(plan)})`, world, findings)
        isWell = findings.length === 0
        cycle += WORLDS
        done += 1
        if (done % REPORT_EVERY === 0) say(`${done} of ${cycles} cycles`)
      }
      if (isWell) note('the end of a world', world, await attempt(() => depopulate(world)))
      killed += world.sides.kills
      return cycle
    }
  }
  const note = (where: string, world: World, findings: readonly Finding[]): void => {
    if (findings.length === 0) return
    for (const finding of findings) {
      found[finding.kind] += 1
      say(`${where}: ${describeFinding(finding)}`)
    }
    for (const line of world.sides.logs()) say(`    ${line}`)
  }
  await Promise.all(Array.from({ length: WORLDS }, (_, index) => live(index)))
  return { cycles: done, killed, found }
}

/** The last line, word for word. */
export function describeTally({ cycles, killed, found }: Tally, isLeasing = false): string {
  return `cycles=${cycles} killed=${killed} ${describeCounts(found, isLeasing)}`
}

/** A cycle that could not be carried through is a change that never arrived. */
async function attempt(work: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> {
  try {
    return await work()
  } catch (thrown) {
    return [{ kind: 'lost', what: thrown instanceof Error ? thrown.message : String(thrown) }]
  }
}

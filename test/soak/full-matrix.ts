import {
  describeCounts,
  describeFinding,
  noneFound,
  type Counts,
  type Finding,
} from './findings.ts'
import type { Lane } from './lane.ts'
import { crashThrough, ROWS, VICTIMS } from './matrix.ts'

export interface MatrixTally {
  readonly points: number
  readonly killed: number
  readonly found: Readonly<Counts>
}

/** Every point of every row with every kind of victims, each in a new world. */
export async function runMatrix(lane: Lane, say: (line: string) => void): Promise<MatrixTally> {
  const found = noneFound()
  const points = new Set<string>()
  let killed = 0
  const jobs = ROWS.flatMap((row) => VICTIMS.map((victims) => ({ row, victims })))
  const note = (where: string, finding: Finding): void => {
    found[finding.kind] += 1
    say(`${where}: ${describeFinding(finding)}`)
  }
  const run = async ({ row, victims }: (typeof jobs)[number]): Promise<void> => {
    const where = `${row.operation}, ${row.scope} on the ${row.side}, victims: ${victims}`
    await lane.withWorld(async (world) => {
      try {
        const crashes = await crashThrough(world, row, () => victims)
        for (const { point, findings } of crashes) {
          points.add(`${row.side} ${point}`)
          for (const finding of findings) note(`${where}, ${point}`, finding)
        }
        say(`${crashes.length} crashes: ${where}`)
        if (crashes.length === 0) note(where, { kind: 'lost', what: 'no point was met' })
        if (crashes.every(({ findings }) => findings.length === 0)) return
      } catch (thrown) {
        // A row that could not be carried through is a node that did not recover.
        note(where, { kind: 'lost', what: thrown instanceof Error ? thrown.message : 'no error' })
      } finally {
        killed += world.sides.kills
      }
      for (const line of world.sides.logs()) say(`    ${line}`)
    })
  }
  await Promise.all(jobs.map(run))
  return { points: points.size, killed, found }
}

/** The last line, word for word. */
export function describeMatrix({ points, killed, found }: MatrixTally): string {
  return `points=${points} killed=${killed} ${describeCounts(found)}`
}

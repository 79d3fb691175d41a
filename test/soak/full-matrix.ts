import { describeCounts, describeFinding, noneFound, type Counts } from './findings.ts'
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
  const run = async ({ row, victims }: (typeof jobs)[number]): Promise<void> => {
    const where = `${row.operation}, ${row.scope} on the ${row.side}, victims: ${victims}`
    await lane.withWorld(async (world) => {
      const crashes = await crashThrough(world, row, () => victims)
      killed += world.kills
      for (const { point } of crashes) points.add(`${row.side} ${point}`)
      say(`${crashes.length} crashes: ${where}`)
      const bad = crashes.filter(({ findings }) => findings.length > 0)
      for (const { point, findings } of bad) {
        for (const finding of findings) {
          found[finding.kind] += 1
          say(`${where}, ${point}: ${describeFinding(finding)}`)
        }
      }
      // A row in which nothing was met proves nothing.
      if (crashes.length === 0) found.lost += 1
      if (bad.length > 0) for (const line of world.logs()) say(`    ${line}`)
    })
  }
  await Promise.all(jobs.map(run))
  return { points: points.size, killed, found }
}

/** The last line, word for word. */
export function describeMatrix({ points, killed, found }: MatrixTally): string {
  return `points=${points} killed=${killed} ${describeCounts(found)}`
}

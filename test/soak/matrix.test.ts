import test from 'ava'
import { mountTestWithOwners } from '../support/mount-namespace.ts'
import { openLane } from './lane.ts'
import { crashThrough, ROWS, takeTurns } from './matrix.ts'

const WORLDS = 4
const TIMEOUT_MS = 900_000

/** The promise of the crash matrix; there are more, and each row has to bring some. */
const LEAST_POINTS = 40

// Made by the first test that may mount; where none may, nothing is bundled.
const made: { lane?: ReturnType<typeof openLane>; rows: number } = { rows: 0 }
const points = new Set<string>()

for (const row of ROWS) {
  const { operation, side, scope } = row
  const where = `at each ${scope} point of ${operation} on the ${side}`
  mountTestWithOwners(
    `killed ${where}, itself, the other or both: whole files, nothing left`,
    async (t) => {
      t.timeout(TIMEOUT_MS)
      made.lane ??= openLane(WORLDS)
      const lane = await made.lane
      const { crashes, logs } = await lane.withWorld(async (world) => ({
        crashes: await crashThrough(world, row, takeTurns),
        logs: world.sides.logs(),
      }))
      const bad = crashes.filter(({ findings }) => findings.length > 0)
      if (bad.length > 0) t.log(logs.join('\n'))
      t.deepEqual(bad, [])
      t.true(crashes.length > 0, 'no point was met')
      made.rows += 1
      for (const { point } of crashes) points.add(`${side} ${point}`)
    },
  )
}

test.after.always('the lane is closed, and there were points enough', async (t) => {
  if (made.lane === undefined) return
  await (await made.lane).close()
  t.log(`${points.size} points, each with one of three kinds of victims`)
  // Not where somebody runs a row by itself.
  if (made.rows === ROWS.length) t.true(points.size >= LEAST_POINTS)
})

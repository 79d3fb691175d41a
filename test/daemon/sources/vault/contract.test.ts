import test from 'ava'
import { CONTRACT } from './contract.ts'
import { startDoubleWorld } from './double-world.ts'

for (const { title, run } of CONTRACT) {
  test(`on the double: ${title}`, async (t) => {
    const world = await startDoubleWorld()
    try {
      await run(t, world)
    } finally {
      await world.close()
    }
  })
}

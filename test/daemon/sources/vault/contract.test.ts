import test from 'ava'
import { systemClock } from '../../../../src/core/clock.ts'
import { CONTRACT } from './contract.ts'
import { startDoubleWorld } from './double-world.ts'

const DOUBLES = [
  ['the double', {}],
  ['the double as an OpenBao', { server: 'openbao' }],
  ['the double as a namespace of an OpenBao', { server: 'openbao', namespace: 'team-a/shop' }],
] as const

for (const [name, like] of DOUBLES) {
  for (const { title, needs, run } of CONTRACT) {
    if (needs === 'namespaces' && !('server' in like)) continue
    test(`on ${name}: ${title}`, async (t) => {
      const world = await startDoubleWorld(systemClock, like)
      try {
        await run(t, world)
      } finally {
        await world.close()
      }
    })
  }
}

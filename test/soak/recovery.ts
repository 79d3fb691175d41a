import type { SideName } from './bundle.ts'
import type { Finding } from './findings.ts'
import type { World } from './world.ts'

/** Starts those that are dead, and has the host side account for every mount that it finds. */
export async function restart(
  world: World,
  dead: readonly SideName[],
): Promise<readonly Finding[]> {
  const { mounted } = world
  const adopted = await Promise.all(dead.map((side) => world.sides.start(side)))
  const host = dead.indexOf('host')
  if (host < 0 || adopted[host] === mounted) return []
  // It was killed again, or has died by itself; whoever buries it finds that out.
  if (world.sides.process('host').isDead) return []
  const what = `the host side adopted ${adopted[host] ?? 'none'} of ${mounted} mounts`
  return [{ kind: 'lost', what }]
}

import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServingPki } from '../../src/minicluster/pki.ts'
import { Limiter } from '../../src/core/limiter.ts'
import { bundleSides } from './bundle.ts'
import { Spares } from './spares.ts'
import { unmountBelow, World } from './world.ts'

/** What worlds side by side have in common. */
export interface Lane {
  /** Lends a new world, with both sides running. */
  withWorld<T>(use: (world: World) => Promise<T>, sessionTtlMs?: number): Promise<T>
  /** After the worlds. */
  close(): Promise<void>
}

const MAX_WAITING = 1_000
const NEVER = new AbortController().signal
/** Each side of each world has a spare that loads while the other one lives. */
const SPARES_PER_WORLD = 1

/** At most `worldCount` worlds at once; who wants another waits. */
export async function openLane(worldCount: number): Promise<Lane> {
  const [bundle, pki] = await Promise.all([bundleSides(), createServingPki()])
  const spares = new Spares(bundle, SPARES_PER_WORLD * worldCount)
  const rooms = new Limiter('worlds', worldCount, MAX_WAITING)
  // Memory where there is some to be had: these folders are made and removed by the thousand.
  const base = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'lk-'))
  const clear = (): void => {
    unmountBelow(base)
    bundle.dispose()
    rmSync(base, { recursive: true, force: true })
  }
  // Also where somebody has lost patience, and for a test that has run out of time.
  const onSignal = (): never => process.exit(1)
  process.once('exit', clear)
  process.once('SIGINT', onSignal)
  process.once('SIGTERM', onSignal)
  let worlds = 0
  return {
    withWorld(use, sessionTtlMs) {
      return rooms.run(NEVER, async () => {
        worlds += 1
        const world = await World.start({
          folder: join(base, String(worlds)),
          spares,
          pki,
          sessionTtlMs,
        })
        try {
          return await use(world)
        } finally {
          await world.stop()
        }
      })
    },
    async close() {
      await spares.close()
      clear()
      process.off('exit', clear)
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    },
  }
}

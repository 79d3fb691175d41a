import { fork } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { ExecutionContext } from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { mountTest } from '../../support/mount-namespace.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { mountsBelow, tmpfsWorld } from '../../support/tmpfs-world.ts'
import { fileOf } from '../../support/volumes.ts'

const RACER = `${import.meta.dirname}/../../support/racer-main.ts`
const VALUE = 'canary-of-the-volume'

/** `LATCHKEY_RACE_CYCLES=10000 npx ava test/host/volume/tmpfs-races.test.ts` is the long run. */
const CYCLES = Number(process.env['LATCHKEY_RACE_CYCLES'] ?? 300)
/** Where one of both has not won by then, it goes on: on a busy machine either may sleep through all of them. */
const MAX_CYCLES = 20 * CYCLES

/** Shaped like a volume's parent, with what must stay: a step that follows a link would find its way here. */
function decoyFolder(t: ExecutionContext, target: string): string {
  const decoy = tempDir(t)
  const tail = target.split('/pods/')[1]?.split('/').slice(1, -1).join('/') ?? ''
  for (const folder of ['', tail]) {
    mkdirSync(join(decoy, folder, 'mount'), { recursive: true })
    writeFileSync(join(decoy, folder, 'precious'), 'untouched')
    writeFileSync(join(decoy, folder, 'mount', 'precious'), 'untouched')
  }
  return decoy
}

function everythingBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => {
      const stat = lstatSync(join(folder, name))
      const text = stat.isFile() ? readFileSync(join(folder, name), 'utf8') : ''
      return `${name} ${stat.mode.toString(8)} ${stat.ino} ${text}`
    })
    .toSorted()
}

async function startRacer(t: ExecutionContext, target: string, decoy: string) {
  const child = fork(RACER, [target, decoy])
  const exited = once(child, 'exit')
  t.teardown(() => child.kill('SIGKILL'))
  await once(child, 'message')
  return async () => {
    child.disconnect()
    await exited
  }
}

/** What may be answered to kubelet while somebody tampers: a refusal of ours, in our own words. */
function outcomeOf(work: () => void): 'done' | 'refused' {
  try {
    work()
    return 'done'
  } catch (thrown) {
    if (thrown instanceof LatchkeyError && thrown.reason === 'VolumeIo') return 'refused'
    throw thrown
  }
}

mountTest(
  `a racer in the target’s parents gains nothing: not a byte outside, nothing removed outside (${CYCLES} cycles or more)`,
  async (t) => {
    t.timeout(600_000)
    const { kubeletRoot, store, volume } = tmpfsWorld(t)
    const target = volume.targetPath
    const decoy = decoyFolder(t, target)
    const before = everythingBelow(decoy)
    const stopRacer = await startRacer(t, target, decoy)
    const outcomes = { published: 0, refused: 0 }
    const isDecided = (): boolean => outcomes.published > 0 && outcomes.refused > 0
    for (let cycle = 0; cycle < (isDecided() ? CYCLES : MAX_CYCLES); cycle += 1) {
      const outcome = outcomeOf(() => {
        store.create(volume, [fileOf('password', VALUE)])
      })
      outcomes[outcome === 'done' ? 'published' : 'refused'] += 1
      outcomeOf(() => {
        store.swap(volume, [fileOf('password', `${VALUE} ${cycle}`)])
      })
      outcomeOf(() => {
        store.remove(volume)
      })
      // All that is mounted is ours, at the one place; a mount whose folder was renamed goes with it.
      for (const { fsType, source, mountPoint } of mountsBelow(kubeletRoot)) {
        t.is(`${fsType} ${source.split(':')[0] ?? ''}`, 'tmpfs latchkey')
        t.regex(mountPoint, /\/kubernetes\.io~csi(\.aside)?\/db(\.aside)?\/mount$|\.aside\//)
      }
      if (cycle % 10 === 0) await setImmediate()
    }
    await stopRacer()
    t.log(JSON.stringify(outcomes))
    t.true(isDecided(), 'both sides have won now and then')
    t.deepEqual(mountsBelow(decoy), [])
    t.deepEqual(everythingBelow(decoy), before)

    // The racer is gone: what it has left lies in the way, or it does not; kubelet's retry clears up.
    const parent = dirname(target)
    t.true(existsSync(parent))
    store.remove(volume)
    if (existsSync(target)) rmSync(target, { recursive: true })
    store.create(volume, [fileOf('password', VALUE)])
    t.is(readFileSync(`${target}/password`, 'utf8'), VALUE)
    store.remove(volume)
    t.deepEqual(mountsBelow(kubeletRoot), [])
    t.deepEqual(readdirSync(parent), [])
  },
)

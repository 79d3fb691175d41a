import test from 'ava'
import { Chance } from '../../soak/chance.ts'
import { MatrixStreams, OFFER_CHANGES } from './matrix-streams.ts'

const STEPS = 20_000
const SEED = 7
/** A daemon for so many: tokens last 600 s, and each step may take half a second of its time. */
const PER_DAEMON = 200

test('of 20,000 steps on streams none has a volume fetch with tokens that are not its own pod’s', async (t) => {
  t.timeout(600_000)
  // Most are refused, and nobody reads where that was thrown.
  Error.stackTraceLimit = 0
  const chance = new Chance(SEED)
  const wrong: string[] = []
  const drawn = new Map<string, number>()
  const note = (name: string): void => {
    drawn.set(name, (drawn.get(name) ?? 0) + 1)
  }
  for (let done = 0; done < STEPS; done += PER_DAEMON) {
    const streams = new MatrixStreams(chance)
    for (let i = 0; i < PER_DAEMON; i += 1) {
      const step = await streams.step()
      note(`${step.kind} ${step.isGranted ? 'granted' : 'refused'}`)
      if (step.kind === 'offer') for (const name of step.changes) note(name)
      if (step.wrong !== undefined)
        wrong.push(`${step.kind}, ${step.changes.join()}: ${step.wrong}`)
    }
    await streams.end()
  }
  t.log(Object.fromEntries([...drawn].filter(([name]) => /(granted|refused)$/.test(name))))
  t.deepEqual(wrong.slice(0, 10), [])
  // Else it would have shown only one side of it, or left out a kind.
  for (const kind of ['open', 'offer', 'resume']) {
    t.true((drawn.get(`${kind} granted`) ?? 0) > STEPS / 50, kind)
    t.true((drawn.get(`${kind} refused`) ?? 0) > STEPS / 50, kind)
  }
  t.deepEqual(
    OFFER_CHANGES.filter((name) => (drawn.get(name) ?? 0) < 20),
    [],
  )
})

import { isDeepStrictEqual } from 'node:util'
import test from 'ava'
import { Chance } from '../../soak/chance.ts'
import { MatrixDaemon, type Outcome } from './matrix-daemon.ts'
import { whoIsToBeServed, type Grant } from './matrix-oracle.ts'
import { CHANGE_NAMES, drawRequest, type DrawnRequest } from './matrix-requests.ts'

const REQUESTS = 100_000
const SEED = 6
/** So many of them by a whole stream, the others at whoever decides: the answer has to be the same. */
const STREAM_EACH = 5
/** A daemon for so many requests: what it may remember of one must not help another. */
const PER_DAEMON = 1_000

interface Tally {
  granted: number
  refused: number
  reviews: number
  readonly wrong: string[]
  readonly drawn: Map<string, number>
}

test('of 100,000 requests exactly those are served that the rules allow, each for its own pod', async (t) => {
  t.timeout(600_000)
  // Two of three are refused, and nobody reads where that was thrown.
  Error.stackTraceLimit = 0
  const chance = new Chance(SEED)
  const tally: Tally = { granted: 0, refused: 0, reviews: 0, wrong: [], drawn: new Map() }
  for (let done = 0; done < REQUESTS; done += PER_DAEMON) {
    const daemon = new MatrixDaemon()
    for (let i = 0; i < PER_DAEMON; i += 1) {
      const drawn = drawRequest(chance)
      const { asked } = drawn
      const outcome = i % STREAM_EACH === 0 ? daemon.open(asked) : daemon.decide(asked)
      note(tally, drawn, whoIsToBeServed(asked), await outcome)
    }
    tally.reviews += daemon.reviews
  }
  const { granted, refused, reviews, wrong, drawn } = tally
  t.log({ granted, refused, reviews, wrong: wrong.length, kinds: drawn.size })
  t.deepEqual(wrong.slice(0, 10), [])
  // Else it would have shown only one side of it, or left out a kind.
  t.true(granted > REQUESTS / 5)
  t.true(refused > REQUESTS / 5)
  t.deepEqual(
    CHANGE_NAMES.filter((name) => (drawn.get(name) ?? 0) < 100),
    [],
  )
})

function note(tally: Tally, drawn: DrawnRequest, due: Grant | undefined, outcome: Outcome): void {
  for (const name of drawn.changes) tally.drawn.set(name, (tally.drawn.get(name) ?? 0) + 1)
  const grant = 'grant' in outcome ? outcome.grant : undefined
  tally[grant === undefined ? 'refused' : 'granted'] += 1
  const isRight = isDeepStrictEqual(grant, due)
  // A refusal is for a reason; Internal is none.
  if (isRight && !('refused' in outcome && outcome.refused === 'Internal')) return
  const what = drawn.changes.join(' + ') || 'nothing changed'
  tally.wrong.push(`${what}: ${JSON.stringify({ due, outcome })}`)
}

import { setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { Lane } from '../../../src/daemon/sources/lane.ts'
import { isWiped, textsOf, valueOf } from './values.ts'
import { workloadOf } from './workloads.ts'

test('a copy that was served to somebody who then left is wiped', async (t) => {
  const lane = new Lane()
  const [one, two] = [lane.board(workloadOf()), lane.board(workloadOf())]
  lane.takeOff()
  lane.deliver(() => valueOf({ password: 'one' }))
  lane.leave(one)
  await turn()
  t.true(isWiped(await one.landed.promise))
  t.deepEqual(textsOf(await two.landed.promise), { password: 'one' })
})

test('only those aboard are served, and the rest waits for the next', async (t) => {
  const lane = new Lane()
  const aboard = lane.board(workloadOf())
  lane.takeOff()
  lane.board(workloadOf())
  lane.deliver(() => valueOf({ password: 'one' }))
  t.deepEqual(textsOf(await aboard.landed.promise), { password: 'one' })
  t.deepEqual(lane.aboard(), [])
  t.true(lane.isWaitedFor)
})

test('the signal of a flight aborts when the last one aboard has left, and not before', (t) => {
  const lane = new Lane()
  const [one, two, never] = [1, 2, 3].map(() => lane.board(workloadOf()))
  if (one === undefined || two === undefined || never === undefined) return t.fail()
  lane.leave(never)
  const signal = lane.takeOff()
  lane.leave(one)
  lane.leave(one)
  t.false(signal.aborted)
  lane.leave(two)
  t.true(signal.aborted)
})

test('a refusal of all reaches those aboard and those who wait', async (t) => {
  const lane = new Lane()
  const aboard = lane.board(workloadOf())
  lane.takeOff()
  const waiting = lane.board(workloadOf())
  lane.refuseAll(new LatchkeyError('Overloaded', 'too many'))
  await t.throwsAsync(aboard.landed.promise, { message: 'too many' })
  await t.throwsAsync(waiting.landed.promise, { message: 'too many' })
  t.false(lane.isWaitedFor)
})

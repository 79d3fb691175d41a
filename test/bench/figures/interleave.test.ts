import test from 'ava'

import { interleave, timedMs } from './interleave.ts'

test('contenders take turns, each once a round and always in the same order', async (t) => {
  const order: string[] = []
  const measure = (name: string) => (round: number) => {
    order.push(`${name}${round}`)
    return Promise.resolve(round)
  }
  await interleave(3, { ours: measure('a'), theirs: measure('b') })
  t.deepEqual(order, ['a0', 'b0', 'a1', 'b1', 'a2', 'b2'])
})

test('nobody begins before the one before him is done', async (t) => {
  let running = 0
  const measure = async (): Promise<number> => {
    running += 1
    t.is(running, 1)
    await new Promise(setImmediate)
    running -= 1
    return 0
  }
  await interleave(4, { ours: measure, theirs: measure })
  t.is(running, 0)
})

test('each one gets his own numbers, in order of rounds', async (t) => {
  const seen = await interleave(3, {
    ours: (round) => Promise.resolve(round),
    theirs: (round) => Promise.resolve(10 * round),
  })
  t.deepEqual(seen, { ours: [0, 1, 2], theirs: [0, 10, 20] })
})

test('a measurement that fails ends the row', async (t) => {
  const failing = (): Promise<number> => Promise.reject(new Error('no answer'))
  await t.throwsAsync(interleave(2, { ours: failing }), { message: 'no answer' })
})

test('time is taken until the work has settled', async (t) => {
  const gate = Promise.withResolvers<undefined>()
  let isTaken = false
  const taken = timedMs(() => gate.promise).then((ms) => {
    isTaken = true
    return ms
  })
  await new Promise(setImmediate)
  t.false(isTaken)
  gate.resolve(undefined)
  t.true((await taken) >= 0)
})

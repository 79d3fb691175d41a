import test from 'ava'
import { Backoff } from '../../src/core/backoff.ts'
import { sleep } from '../../src/core/clock.ts'
import { LatchkeyError } from '../../src/core/errors.ts'
import { KeyedQueue } from '../../src/core/keyed-queue.ts'
import { Limiter } from '../../src/core/limiter.ts'
import { FakeClock } from '../support/fake-clock.ts'

const never = new AbortController().signal

test('work of one key runs in order and one at a time, keys do not wait for each other', async (t) => {
  const queue = new KeyedQueue(8)
  const gate = Promise.withResolvers<void>()
  const seen: string[] = []
  const first = queue.run('a', async () => {
    await gate.promise
    seen.push('a1')
  })
  const second = queue.run('a', () => seen.push('a2'))
  await queue.run('b', () => seen.push('b1'))
  gate.resolve()
  await Promise.all([first, second])
  t.deepEqual(seen, ['b1', 'a1', 'a2'])
  t.is(queue.size, 0)
})

test('a failure in the queue does not stop what waits behind it', async (t) => {
  const queue = new KeyedQueue(8)
  const failing = queue.run('a', () => Promise.reject(new Error('boom')))
  const next = queue.run('a', () => 'fine')
  await t.throwsAsync(failing, { message: 'boom' })
  t.is(await next, 'fine')
})

test('a full queue refuses with OperationPending', async (t) => {
  const queue = new KeyedQueue(1)
  const gate = Promise.withResolvers<void>()
  const running = queue.run('a', () => gate.promise)
  const waiting = queue.run('a', () => 'waited')
  const error = await t.throwsAsync(queue.run('a', () => 'late'))
  t.is(LatchkeyError.from(error).reason, 'OperationPending')
  gate.resolve()
  await running
  t.is(await waiting, 'waited')
})

test('a limiter keeps to its slots, passes them on in order and refuses beyond its line', async (t) => {
  const limiter = new Limiter('publishes', 2, 1)
  const gates = [1, 2, 3].map(() => Promise.withResolvers<void>())
  let running = 0
  let most = 0
  const jobs = gates.map(({ promise }) =>
    limiter.run(never, async () => {
      running += 1
      most = Math.max(most, running)
      await promise
      running -= 1
    }),
  )
  const error = await t.throwsAsync(limiter.run(never, () => Promise.resolve()))
  t.like(LatchkeyError.from(error), { reason: 'Overloaded', message: 'too many publishes at once' })
  for (const gate of gates) gate.resolve()
  await Promise.all(jobs)
  t.is(most, 2)
})

test('who gives up in the line leaves it, and its slot goes to the next', async (t) => {
  const limiter = new Limiter('publishes', 1, 2)
  const gate = Promise.withResolvers<void>()
  const running = limiter.run(never, () => gate.promise)
  const impatient = new AbortController()
  const leaving = limiter.run(impatient.signal, () => Promise.resolve('never'))
  const staying = limiter.run(never, () => Promise.resolve('served'))
  impatient.abort(new Error('enough'))
  await t.throwsAsync(leaving, { message: 'enough' })
  gate.resolve()
  await running
  t.is(await staying, 'served')
})

test('a sleep ends early with its signal and cancels its timer', async (t) => {
  const clock = new FakeClock()
  const abort = new AbortController()
  const sleeping = sleep(clock, 1_000, abort.signal)
  abort.abort(new Error('woken'))
  await t.throwsAsync(sleeping, { message: 'woken' })
  t.is(clock.pending, 0)
})

test('backoff doubles up to its cap, each delay between half and all of it', (t) => {
  const least = new Backoff({ firstMs: 100, maxMs: 1_000 }, () => 0)
  t.deepEqual(
    [1, 2, 3, 4, 5, 6].map(() => least.nextMs()),
    [50, 100, 200, 400, 500, 500],
  )
  const most = new Backoff({ firstMs: 100, maxMs: 1_000 }, () => 1)
  t.deepEqual(
    [1, 2, 3, 4, 5].map(() => most.nextMs()),
    [100, 200, 400, 800, 1_000],
  )
  most.reset()
  t.is(most.nextMs(), 100)
})

import test from 'ava'
import { getEventListeners } from 'node:events'
import { sleep } from '../../src/core/clock.ts'
import { waitFor, withDeadline } from '../../src/core/deadline.ts'
import { LatchkeyError } from '../../src/core/errors.ts'
import { FakeClock } from '../support/fake-clock.ts'

const never = new AbortController().signal

test('a deadline ends work that does not listen, and leaves no timer behind', async (t) => {
  const clock = new FakeClock()
  const bounded = withDeadline(
    clock,
    5_000,
    'the review',
    never,
    () => new Promise(() => undefined),
  )
  bounded.catch(() => undefined)
  await clock.advance(5_000)
  const error = LatchkeyError.from(await t.throwsAsync(bounded))
  t.like(error, { reason: 'Timeout', message: 'the review took longer than 5 s' })
  t.is(await withDeadline(clock, 5_000, 'quick', never, () => Promise.resolve(1)), 1)
  t.is(clock.pending, 0)
})

test('a deadline ends with its parent, for the parent’s reason', async (t) => {
  const parent = new AbortController()
  const bounded = withDeadline(new FakeClock(), 5_000, 'x', parent.signal, (signal) =>
    sleep(new FakeClock(), 1, signal),
  )
  parent.abort(new Error('kubelet hung up'))
  await t.throwsAsync(bounded, { message: 'kubelet hung up' })
})

test('work that still listens when its deadline’s race is over is let go of', async (t) => {
  const heard = Promise.withResolvers<AbortSignal>()
  await withDeadline(new FakeClock(), 5_000, 'quick', never, (signal) => {
    heard.resolve(signal)
    return Promise.resolve()
  })
  t.true((await heard.promise).aborted)
})

test('neither a deadline nor a wait leaves anything on a signal that lives on', async (t) => {
  const { signal } = new AbortController()
  await withDeadline(new FakeClock(), 5_000, 'quick', signal, () => Promise.resolve())
  await waitFor(Promise.resolve(), signal)
  await t.throwsAsync(waitFor(Promise.reject(new Error('lost')), signal), { message: 'lost' })
  t.is(getEventListeners(signal, 'abort').length, 0)
})

test('who leaves what others wait for too hears its own reason, and the others get the answer', async (t) => {
  const shared = Promise.withResolvers<number>()
  const leaving = new AbortController()
  const left = waitFor(shared.promise, leaving.signal)
  const stayed = waitFor(shared.promise, never)
  leaving.abort(new Error('kubelet hung up'))
  await t.throwsAsync(left, { message: 'kubelet hung up' })
  await t.throwsAsync(waitFor(shared.promise, leaving.signal), { message: 'kubelet hung up' })
  shared.resolve(1)
  t.is(await stayed, 1)
})

import { EventEmitter } from 'node:events'
import { status, type ServerUnaryCall } from '@grpc/grpc-js'
import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { unary } from '../../src/wire/unary.ts'
import { FakeClock } from '../support/fake-clock.ts'

interface Outcome {
  readonly code: status
  readonly details?: string
  readonly response?: unknown
}

interface World {
  readonly clock: FakeClock
  readonly call: EventEmitter
  readonly done: string[]
  readonly answers: Outcome[]
  run(handle: (request: string, signal: AbortSignal) => unknown): void
}

/** One call of a method with a second to answer. */
function world(): World {
  const clock = new FakeClock()
  const call = Object.assign(new EventEmitter(), { request: 'ping' })
  const done: string[] = []
  const answers: Outcome[] = []
  const options = {
    clock,
    timeoutMs: 1_000,
    onDone: (method: string, error: LatchkeyError | undefined, durationMs: number) => {
      done.push(`${method} ${error?.reason ?? 'OK'} ${durationMs} ms`)
    },
  }
  return {
    clock,
    call,
    done,
    answers,
    run(handle) {
      unary(
        'Ping',
        options,
        handle,
      )(call as unknown as ServerUnaryCall<string, unknown>, (error, response) => {
        answers.push(
          error === null
            ? { code: status.OK, response }
            : { code: error.code ?? status.UNKNOWN, details: error.details ?? '' },
        )
      })
    },
  }
}

test('what the function answers is the response', async (t) => {
  const on = world()
  on.run((request) => `${request} pong`)
  await on.clock.advance(0)
  t.deepEqual(on.answers, [{ code: status.OK, response: 'ping pong' }])
  t.deepEqual(on.done, ['Ping OK 0 ms'])
  t.is(on.clock.pending, 0)
})

for (const { how, handle } of [
  {
    how: 'throws',
    handle: () => {
      throw new LatchkeyError('SecretNotFound', 'no db')
    },
  },
  { how: 'rejects', handle: () => Promise.reject(new LatchkeyError('SecretNotFound', 'no db')) },
]) {
  test(`a function that ${how} is answered with its reason`, async (t) => {
    const on = world()
    on.run(handle)
    await on.clock.advance(0)
    t.deepEqual(on.answers, [{ code: status.NOT_FOUND, details: 'SecretNotFound: no db' }])
    t.deepEqual(on.done, ['Ping SecretNotFound 0 ms'])
  })
}

test('an error of somebody else is Internal, and its text stays here', async (t) => {
  const on = world()
  on.run(() => {
    throw new Error('hunter2')
  })
  await on.clock.advance(0)
  t.is(on.answers[0]?.code, status.INTERNAL)
  t.false(on.answers[0]?.details?.includes('hunter2'))
})

test('a function that never ends is answered for when its time is up, and told so', async (t) => {
  const on = world()
  let told: unknown
  on.run((_, signal) => {
    signal.addEventListener('abort', () => {
      told = signal.reason
    })
    return new Promise(() => undefined)
  })
  await on.clock.advance(999)
  t.deepEqual(on.answers, [])
  await on.clock.advance(1)
  t.is(on.answers[0]?.code, status.DEADLINE_EXCEEDED)
  t.true(told instanceof LatchkeyError)
  t.deepEqual(on.done, ['Ping Timeout 1000 ms'])
})

test('a caller that hangs up aborts the function', async (t) => {
  const on = world()
  let isAborted = false
  on.run((_, signal) => {
    signal.addEventListener('abort', () => {
      isAborted = true
    })
    return new Promise(() => undefined)
  })
  await on.clock.advance(100)
  on.call.emit('cancelled')
  await on.clock.advance(0)
  t.true(isAborted)
  t.deepEqual(on.done, ['Ping Timeout 100 ms'])
  t.is(on.clock.pending, 0)
})

test('a call is reported once, whatever comes after its answer', async (t) => {
  const on = world()
  on.run(() => 'pong')
  await on.clock.advance(0)
  on.call.emit('cancelled')
  await on.clock.advance(10_000)
  t.is(on.done.length, 1)
  t.is(on.answers.length, 1)
})

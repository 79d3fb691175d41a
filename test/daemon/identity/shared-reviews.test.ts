import { setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { LatchkeyError, type Reason } from '../../../src/core/errors.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import { createAuthenticator } from '../../../src/daemon/identity/authenticator.ts'
import { SharedReviews } from '../../../src/daemon/identity/shared-reviews.ts'
import type { TokenReviewStatus } from '../../../src/daemon/kube/kube-client.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import {
  AUDIENCE,
  KUBELET_ROOT,
  NODE,
  NOW_MS,
  OTHER_UID,
  POD_UID,
  apiToken,
  ourToken,
  requestOf,
  statusOf,
  targetPathOf,
  textOf,
} from './pod-world.ts'
import { volumeIdOf } from '../../../src/core/volume-id.ts'

const TIMEOUT_MS = 5_000

/** One review that the API server was asked for, answered when the test says so. */
interface Asked {
  readonly token: SecretBytes
  readonly text: string
  readonly audiences: readonly string[]
  readonly signal: AbortSignal
  readonly answer: (status: TokenReviewStatus) => void
  readonly fail: (error: unknown) => void
}

class World {
  readonly clock = new FakeClock(NOW_MS)
  readonly asked: Asked[] = []
  readonly reviews = new SharedReviews({
    clock: this.clock,
    timeoutMs: TIMEOUT_MS,
    reviewToken: (token, audiences, signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<TokenReviewStatus>()
      const text = textOf(token)
      this.asked.push({ token, text, audiences, signal, answer: resolve, fail: reject })
      signal.addEventListener('abort', () => {
        reject(signal.reason as Error)
      })
      return promise
    },
  })

  ask(text = 'token', audiences: readonly string[] = [AUDIENCE], caller = new AbortController()) {
    // Each volume brings a copy of its own.
    const token = new SecretBytes(Buffer.from(text))
    const answer = this.reviews.review(token, audiences, caller.signal)
    answer.catch(() => undefined)
    const leave = (): void => {
      // As a stream does that ends.
      token.wipe()
      caller.abort(new LatchkeyError('ShuttingDown', 'gone'))
    }
    return { answer, leave }
  }

  get last(): Asked {
    const last = this.asked.at(-1)
    if (last === undefined) throw new Error('nobody was asked')
    return last
  }
}

async function reasonOf(answer: Promise<unknown>): Promise<Reason | undefined> {
  try {
    await answer
    return undefined
  } catch (thrown) {
    return LatchkeyError.from(thrown).reason
  }
}

test('a hundred who bring one token at once cost one review', async (t) => {
  const on = new World()
  const all = Array.from({ length: 100 }, () => on.ask())
  t.is(on.asked.length, 1)
  const status = statusOf()
  on.last.answer(status)
  for (const { answer } of all) t.is(await answer, status)
  t.is(on.clock.pending, 0)
})

test('who brings it within a second after the answer costs no other', async (t) => {
  const on = new World()
  const first = on.ask()
  await on.clock.advance(400)
  on.last.answer(statusOf())
  await first.answer
  await on.clock.advance(999)
  await on.ask().answer
  t.is(on.asked.length, 1)
  await on.clock.advance(1)
  const late = on.ask()
  t.is(on.asked.length, 2, 'a second is all')
  on.last.answer(statusOf())
  await late.answer
})

test('what is kept does not live longer by being used, nor by a clock that is set back', async (t) => {
  let nowMs = NOW_MS
  let asked = 0
  const reviews = new SharedReviews({
    clock: { now: () => nowMs, after: () => () => undefined },
    timeoutMs: TIMEOUT_MS,
    reviewToken() {
      asked += 1
      return Promise.resolve(statusOf())
    },
  })
  const token = new SecretBytes(Buffer.from('token'))
  const ask = () => reviews.review(token, [AUDIENCE], new AbortController().signal)
  for (let round = 0; round < 4; round += 1) {
    await ask()
    nowMs += 300
  }
  t.is(asked, 1)
  await ask()
  t.is(asked, 2)
  nowMs -= 3_600_000
  await ask()
  t.is(asked, 3)
})

for (const [what, text, audiences] of [
  ['another token', 'other', [AUDIENCE]],
  ['another audience', 'token', ['vault']],
  ['more audiences', 'token', [AUDIENCE, 'vault']],
  ['no audience', 'token', []],
] as const) {
  test(`nothing is shared with ${what}, during a review or after it`, async (t) => {
    const on = new World()
    const one = on.ask()
    const two = on.ask(text, audiences)
    t.is(on.asked.length, 2)
    t.deepEqual([on.last.text, on.last.audiences], [text, audiences])
    for (const { answer } of on.asked) answer(statusOf())
    await Promise.all([one.answer, two.answer])
    await Promise.all([on.ask().answer, on.ask(text, audiences).answer])
    t.is(on.asked.length, 2)
  })
}

test('one who leaves, even the first, costs nobody else the answer', async (t) => {
  const on = new World()
  const [first, second] = [on.ask(), on.ask()]
  first.leave()
  t.is(await reasonOf(first.answer), 'ShuttingDown')
  t.false(on.last.signal.aborted)
  t.is(textOf(on.last.token), 'token', 'nor the words that the answer is cleaned of')
  const status = statusOf()
  on.last.answer(status)
  t.is(await second.answer, status)
  t.is(on.asked.length, 1)
  await turn()
  t.regex(textOf(on.last.token), /^\0+$/, 'no copy of the token is left')
})

test('a review that everybody has left is given up, and nobody joins it', async (t) => {
  const on = new World()
  const both = [on.ask(), on.ask()]
  for (const { leave, answer } of both) {
    leave()
    t.is(await reasonOf(answer), 'ShuttingDown')
  }
  t.true(on.last.signal.aborted)
  t.is(on.reviews.size, 0)
  const next = on.ask()
  t.is(on.asked.length, 2)
  on.last.answer(statusOf())
  await next.answer
  t.is(on.clock.pending, 0)
})

test('who has left already asks nobody', async (t) => {
  const on = new World()
  const gone = new AbortController()
  gone.abort(new LatchkeyError('ShuttingDown', 'gone'))
  t.is(await reasonOf(on.ask('token', [AUDIENCE], gone).answer), 'ShuttingDown')
  t.is(on.asked.length, 0)
})

test('a failure is for those who waited for it, and the next one asks anew', async (t) => {
  const on = new World()
  const both = [on.ask(), on.ask()]
  on.last.fail(new LatchkeyError('KubeUnavailable', 'away'))
  for (const { answer } of both) t.is(await reasonOf(answer), 'KubeUnavailable')
  t.is(on.reviews.size, 0)
  const next = on.ask()
  t.is(on.asked.length, 2)
  on.last.answer(statusOf())
  t.true((await next.answer).authenticated)
})

for (const [what, changes] of [
  ['a token that is not confirmed', { authenticated: false }],
  ['a confirmation with an error beside it', { error: 'lookup failed' }],
] as const) {
  test(`${what} is not kept: API servers reject good tokens in passing`, async (t) => {
    const on = new World()
    const both = [on.ask(), on.ask()]
    on.last.answer(statusOf(changes))
    for (const { answer } of both) t.like(await answer, changes)
    t.is(on.reviews.size, 0)
    void on.ask()
    t.is(on.asked.length, 2)
    on.last.answer(statusOf())
  })
}

test('a review that does not come is a Timeout for all who wait, whenever they came', async (t) => {
  const on = new World()
  const first = on.ask()
  await on.clock.advance(TIMEOUT_MS - 1)
  const late = on.ask()
  await on.clock.advance(1)
  t.is(await reasonOf(first.answer), 'Timeout')
  t.is(await reasonOf(late.answer), 'Timeout')
  t.is(on.asked.length, 1)
  t.is(on.reviews.size, 0)
  t.is(on.clock.pending, 0)
})

test('what was kept is gone once others ask later', async (t) => {
  const on = new World()
  for (let pod = 0; pod < 50; pod += 1) void on.ask(`token ${pod}`)
  for (const { answer } of on.asked) answer(statusOf())
  await on.clock.advance(1_000)
  t.is(on.reviews.size, 50)
  const { answer } = on.ask('late')
  t.is(on.reviews.size, 1)
  on.last.answer(statusOf())
  await answer
})

/** An authenticator before an API server that counts what it is asked. */
function authenticatorOf() {
  const asked: string[] = []
  const authenticator = createAuthenticator({
    kube: {
      async reviewToken(token) {
        asked.push(textOf(token))
        await turn()
        return statusOf()
      },
    },
    nodeName: NODE,
    audience: AUDIENCE,
    kubeletRoot: KUBELET_ROOT,
    clock: new FakeClock(NOW_MS),
    timeoutMs: TIMEOUT_MS,
  })
  return { asked, ask: authenticator.authenticate.bind(authenticator) }
}

const { signal } = new AbortController()

function volumeOf(name: string) {
  return { volumeId: volumeIdOf(POD_UID, name), targetPath: targetPathOf(POD_UID, name) }
}

test('a hundred volumes of one pod cost one review for each new token', async (t) => {
  const on = authenticatorOf()
  const republish = (expiresAtSeconds: number) =>
    Array.from({ length: 100 }, (_, index) =>
      on.ask(
        requestOf({
          ...volumeOf(`v${index}`),
          tokens: [ourToken({ expiresAtSeconds }), apiToken()],
        }),
        signal,
      ),
    )
  const workloads = await Promise.all(republish(NOW_MS / 1000 + 600))
  t.is(on.asked.length, 1)
  t.is(new Set(workloads).size, 100, 'each has a workload of its own')
  await Promise.all(republish(NOW_MS / 1000 + 1_200))
  t.is(on.asked.length, 2)
})

test('each request is judged by itself, whoever shares the review', async (t) => {
  const on = authenticatorOf()
  const pod = { ...requestOf().pod, name: 'api-1' }
  const [fine, refused] = await Promise.allSettled([
    on.ask(requestOf(), signal),
    on.ask(requestOf({ pod }), signal),
  ])
  t.is(fine.status, 'fulfilled')
  t.is(refused.status, 'rejected')
  const later = await t.throwsAsync(on.ask(requestOf({ pod }), signal), {
    instanceOf: LatchkeyError,
  })
  t.is(later.reason, 'PodMismatch')
  const elsewhere = requestOf({ ...volumeOf('db'), targetPath: targetPathOf(OTHER_UID) })
  t.is(await reasonOf(on.ask(elsewhere, signal)), 'PodMismatch')
  t.is(on.asked.length, 1)
})

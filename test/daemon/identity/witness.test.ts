import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { createWitness } from '../../../src/daemon/identity/witness.ts'
import type { Workload } from '../../../src/daemon/identity/workload.ts'
import type { TokenReviewStatus } from '../../../src/daemon/kube/kube-client.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { apiToken, AUDIENCE, NOW_MS, ourToken, requestOf, statusOf } from './pod-world.ts'
import { SERVICE_ACCOUNT_UID } from './pod-tokens.ts'

function workloadWith(tokens: Workload['tokens']): Workload {
  const { pod } = requestOf()
  return { pod, serviceAccountUid: SERVICE_ACCOUNT_UID, expiresAtMs: NOW_MS + 600_000, tokens }
}

const WORKLOAD = workloadWith(new Map([[AUDIENCE, ourToken()]]))

function witness(review: () => Promise<TokenReviewStatus>) {
  const clock = new FakeClock(NOW_MS)
  const asked: (readonly string[])[] = []
  const reviewToken = (_token: unknown, audiences: readonly string[]) => {
    asked.push(audiences)
    return review()
  }
  const ask = createWitness({ kube: { reviewToken }, audience: AUDIENCE, clock, timeoutMs: 10_000 })
  return { ask, asked, clock }
}

const refused = (error: string): TokenReviewStatus => statusOf({ authenticated: false, error })

const ANSWERS = [
  ['a good token', statusOf(), 'POD_ALIVE'],
  [
    'an invalidated token',
    refused('[invalid bearer token, service account token has been invalidated]'),
    'POD_GONE',
  ],
  ['an expired token', refused('[invalid bearer token, token is expired]'), 'POD_UNKNOWN'],
  ['a fault in passing', refused('etcdserver: request timed out'), 'POD_UNKNOWN'],
  ['no word of why', refused(''), 'POD_UNKNOWN'],
  ['an error beside the authentication', statusOf({ error: 'lookup failed' }), 'POD_UNKNOWN'],
] as const

for (const [what, status, life] of ANSWERS) {
  test(`${what} means ${life}`, async (t) => {
    const { ask, asked } = witness(() => Promise.resolve(status))
    t.is(await ask(WORKLOAD), life)
    t.deepEqual(asked, [[AUDIENCE]])
  })
}

test('an API server that cannot be asked is no witness', async (t) => {
  const { ask } = witness(() => Promise.reject(new LatchkeyError('KubeUnavailable', 'away')))
  t.is(await ask(WORKLOAD), 'POD_UNKNOWN')
})

test('an API server that does not answer is no witness', async (t) => {
  const { ask, clock } = witness(() => new Promise(() => undefined))
  const asking = ask(WORKLOAD)
  await clock.advance(10_000)
  t.is(await asking, 'POD_UNKNOWN')
})

test('a token that has expired is not shown to the API server', async (t) => {
  const { ask, asked, clock } = witness(() => Promise.resolve(statusOf()))
  await clock.advance(600_000)
  t.is(await ask(WORKLOAD), 'POD_UNKNOWN')
  t.deepEqual(asked, [])
})

test('without a token for our audience there is nothing to ask with', async (t) => {
  const { ask, asked } = witness(() => Promise.resolve(statusOf()))
  t.is(await ask(workloadWith(new Map([['', apiToken()]]))), 'POD_UNKNOWN')
  t.deepEqual(asked, [])
})

test('all volumes of a pod share one question, for a moment', async (t) => {
  const { ask, asked, clock } = witness(() => Promise.resolve(statusOf()))
  const lives = await Promise.all(Array.from({ length: 500 }, () => ask(WORKLOAD)))
  t.deepEqual(new Set(lives), new Set(['POD_ALIVE']))
  t.is(asked.length, 1)
  await clock.advance(15_000)
  await ask(WORKLOAD)
  t.is(asked.length, 2)
})

test('another pod’s token is another question', async (t) => {
  const { ask, asked } = witness(() => Promise.resolve(statusOf()))
  const other = workloadWith(new Map([[AUDIENCE, ourToken({ podName: 'api-1' })]]))
  await Promise.all([ask(WORKLOAD), ask(other)])
  t.is(asked.length, 2)
})

test('more questions than the API server answers are left unanswered', async (t) => {
  const { ask } = witness(() => new Promise(() => undefined))
  const names = Array.from({ length: 300 }, (_, pod) => `api-${pod}`)
  const asking = names.map((podName) =>
    ask(workloadWith(new Map([[AUDIENCE, ourToken({ podName })]]))),
  )
  t.is(await asking[299], 'POD_UNKNOWN')
})

import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { ClusterObjects } from '../../src/minicluster/cluster-objects.ts'
import type { StoredPod } from '../../src/minicluster/pod-store.ts'
import type { IssuedToken, TokenVerdict } from '../../src/minicluster/tokens.ts'
import { FakeClock } from '../support/fake-clock.ts'

interface World {
  readonly clock: FakeClock
  readonly objects: ClusterObjects
  readonly pod: StoredPod
  readonly issued: IssuedToken
  readonly judge: () => TokenVerdict
}

function createWorld(): World {
  const clock = new FakeClock()
  const objects = new ClusterObjects(clock)
  objects.createServiceAccount({ namespace: 'shop', name: 'api' })
  const where = { namespace: 'shop', serviceAccount: 'api', node: 'node-1' }
  const pod = objects.createPod({ ...where, name: 'api-0' })
  const issued = objects.podToken(pod, 'latchkey', 600)
  const judge = (): TokenVerdict =>
    issued.token.use((bytes) => objects.tokens.judge(bytes, ['latchkey']))
  return { clock, objects, pod, issued, judge }
}

const INVALIDATED = {
  user: undefined,
  error: '[invalid bearer token, service account token has been invalidated]',
}

test('a token lives for the time asked and a minute of leeway', async (t) => {
  const { clock, issued, judge } = createWorld()
  t.is(issued.expiresAtMs, clock.now() + 600_000)
  await clock.advance(660_000)
  t.truthy(judge().user)
  await clock.advance(1)
  t.deepEqual(judge(), {
    user: undefined,
    error: '[invalid bearer token, service account token has expired]',
  })
})

test('a token from the future is not valid yet, but for a minute of leeway', (t) => {
  let nowMs = Date.UTC(2026, 0, 1)
  const objects = new ClusterObjects({ now: () => nowMs, after: () => () => undefined })
  const pod = objects.createPod({ namespace: 'shop', name: 'api-0', node: 'node-1' })
  const { token } = objects.podToken(pod, '', 600)
  const judge = (): TokenVerdict => token.use((bytes) => objects.tokens.judge(bytes, []))
  nowMs -= 60_000
  t.truthy(judge().user)
  nowMs -= 1
  t.like(judge(), { error: '[invalid bearer token, service account token is not valid yet]' })
})

test('a pod that is not there gets no token', (t) => {
  const { objects, pod } = createWorld()
  objects.forceDelete(pod)
  t.throws(() => objects.podToken(pod, 'latchkey'), { message: 'pods "api-0" not found' })
})

test('a deleted pod keeps its tokens through its grace and a minute, a removed one does not', async (t) => {
  const { clock, objects, pod, judge } = createWorld()
  objects.deletePod(pod, 30_000)
  await clock.advance(90_000)
  t.truthy(judge().user)
  await clock.advance(1)
  t.deepEqual(judge(), INVALIDATED)
  const other = createWorld()
  other.objects.forceDelete(other.pod)
  t.deepEqual(other.judge(), INVALIDATED)
})

test('a new pod or account of the same name does not revive an old token', (t) => {
  const { objects, pod, judge } = createWorld()
  objects.forceDelete(pod)
  objects.createPod({ namespace: 'shop', name: 'api-0', serviceAccount: 'api', node: 'node-1' })
  t.deepEqual(judge(), INVALIDATED)
  const other = createWorld()
  other.objects.deleteServiceAccount({ namespace: 'shop', name: 'api' })
  other.objects.createServiceAccount({ namespace: 'shop', name: 'api' })
  t.deepEqual(other.judge(), INVALIDATED)
})

test("another cluster's token is no bearer token here", (t) => {
  const { issued } = createWorld()
  const { objects } = createWorld()
  t.like(
    issued.token.use((bytes) => objects.tokens.judge(bytes, ['latchkey'])),
    { error: '[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]' },
  )
})

test('no claim can be changed under the signature', (t) => {
  const { objects, issued } = createWorld()
  const [head = '', payload = '', signature = ''] = issued.token.use(String).split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { exp: number }
  const longer = JSON.stringify({ ...claims, exp: claims.exp + 86_400 })
  const forged = `${head}.${Buffer.from(longer).toString('base64url')}.${signature}`
  t.is(objects.tokens.judge(Buffer.from(forged), ['latchkey']).user, undefined)
  const unsigned = `${head}.${payload}.`
  t.is(objects.tokens.judge(Buffer.from(unsigned), ['latchkey']).user, undefined)
})

test('a life under ten minutes is refused, as TokenRequest refuses it', (t) => {
  const { objects, pod } = createWorld()
  const error = t.throws(() => objects.podToken(pod, 'latchkey', 599), {
    instanceOf: LatchkeyError,
  })
  t.is(error.reason, 'InvalidRequest')
  t.regex(error.message, /expirationSeconds/)
})

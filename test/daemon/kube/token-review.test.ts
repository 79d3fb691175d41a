import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { FakeClock } from '../../support/fake-clock.ts'
import { statusJson } from './kubernetes-bytes.ts'
import {
  DAEMON_TOKEN,
  POD_TOKEN,
  assertFails,
  clientOf,
  makeWorld,
  never,
  podToken,
  serve,
} from './kube-world.ts'

const JSON_TYPE = 'application/json'

// As Kubernetes 1.37 answers.
const REVIEW = {
  kind: 'TokenReview',
  apiVersion: 'authentication.k8s.io/v1',
  metadata: { managedFields: [{ time: '2026-11-21T06:45:49Z' }] },
  spec: { token: POD_TOKEN, audiences: ['latchkey'] },
  status: {
    authenticated: true,
    user: {
      username: 'system:serviceaccount:shop:api',
      uid: 'aaaa',
      groups: ['system:serviceaccounts'],
      extra: {
        'authentication.kubernetes.io/node-name': ['node-1'],
        'authentication.kubernetes.io/pod-uid': ['1111'],
      },
    },
    audiences: ['latchkey'],
  },
}

test("a token is reviewed with the daemon's credentials, for the audiences that are asked", async (t) => {
  const { client, server } = await serve(t, (_call, answer) => {
    answer.send(201, JSON_TYPE, JSON.stringify(REVIEW))
  })
  const status = await client.reviewToken(podToken(), ['latchkey'], never())
  t.deepEqual(status, {
    authenticated: true,
    audiences: ['latchkey'],
    username: 'system:serviceaccount:shop:api',
    userUid: 'aaaa',
    extra: new Map([
      ['authentication.kubernetes.io/node-name', ['node-1']],
      ['authentication.kubernetes.io/pod-uid', ['1111']],
    ]),
    error: '',
  })
  const [call] = server.calls
  t.is(call?.method, 'POST')
  t.is(call?.url.pathname, '/apis/authentication.k8s.io/v1/tokenreviews')
  t.is(call?.headers['authorization'], `Bearer ${DAEMON_TOKEN}`)
  t.deepEqual(JSON.parse(call?.body ?? ''), {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token: POD_TOKEN, audiences: ['latchkey'] },
  })
})

test("a rejected token is an answer, with the API server's words and without the token", async (t) => {
  const { client } = await serve(t, (_call, answer) => {
    const error = `[invalid bearer token ${POD_TOKEN}, eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln is bad]`
    answer.send(201, JSON_TYPE, JSON.stringify({ ...REVIEW, status: { user: {}, error } }))
  })
  t.deepEqual(await client.reviewToken(podToken(), ['latchkey'], never()), {
    authenticated: false,
    audiences: [],
    username: '',
    userUid: '',
    extra: new Map(),
    error: '[invalid bearer token [token], [token] is bad]',
  })
})

test('a path before the API is kept', async (t) => {
  const { connection, server } = await makeWorld(t, {
    answer: (_call, answer) => {
      answer.send(201, JSON_TYPE, JSON.stringify(REVIEW))
    },
  })
  const client = clientOf(t, { ...connection, pathPrefix: '/k8s/clusters/c-1' })
  await client.reviewToken(podToken(), ['latchkey'], never())
  t.is(
    server.calls[0]?.url.pathname,
    '/k8s/clusters/c-1/apis/authentication.k8s.io/v1/tokenreviews',
  )
})

const withStatus = (status: unknown): string => JSON.stringify({ ...REVIEW, status })

const MALFORMED: readonly (readonly [string, string, string])[] = [
  ['no body', JSON_TYPE, ''],
  ['a body that is no JSON', JSON_TYPE, `{"status": ${POD_TOKEN}`],
  ['a body that is null', JSON_TYPE, 'null'],
  ['no status', JSON_TYPE, withStatus(undefined)],
  ['a text for authenticated', JSON_TYPE, withStatus({ ...REVIEW.status, authenticated: 'true' })],
  ['a number for authenticated', JSON_TYPE, withStatus({ ...REVIEW.status, authenticated: 1 })],
  ['a number for an audience', JSON_TYPE, withStatus({ ...REVIEW.status, audiences: [1] })],
  ['a text for audiences', JSON_TYPE, withStatus({ ...REVIEW.status, audiences: 'latchkey' })],
  ['an object for audiences', JSON_TYPE, withStatus({ ...REVIEW.status, audiences: {} })],
  [
    'a list for the user name',
    JSON_TYPE,
    withStatus({ ...REVIEW.status, user: { username: ['x'] } }),
  ],
  ['a number for the uid', JSON_TYPE, withStatus({ ...REVIEW.status, user: { uid: 7 } })],
  ['numbers in extra', JSON_TYPE, withStatus({ ...REVIEW.status, user: { extra: { k: [1] } } })],
  ['a page of HTML', 'text/html', `<html>${POD_TOKEN}</html>`],
  ['no content type that is known', 'application/octet-stream', JSON.stringify(REVIEW)],
]

for (const [what, contentType, body] of MALFORMED) {
  test(`an answer with ${what} is no review`, async (t) => {
    const { client } = await serve(t, (_call, answer) => {
      answer.send(201, contentType, body)
    })
    const review = client.reviewToken(podToken(), ['latchkey'], never())
    await assertFails(t, review, 'KubeUnavailable', /TokenReview could not be read/)
  })
}

test('a status without its fields is a no', async (t) => {
  const { client } = await serve(t, (_call, answer) => {
    answer.send(201, JSON_TYPE, withStatus({}))
  })
  const { authenticated, audiences } = await client.reviewToken(podToken(), ['latchkey'], never())
  t.false(authenticated)
  t.deepEqual(audiences, [])
})

const REFUSALS: readonly (readonly [number, RegExp])[] = [
  [302, /answered a TokenReview with 302/],
  [400, /answered a TokenReview with 400/],
  [401, /does not accept the daemon's own credentials/],
  [403, /the daemon may not create tokenreviews: its ClusterRole/],
  [404, /with 404/],
  [429, /with 429/],
  [500, /with 500/],
  [503, /with 503/],
]

for (const [status, message] of REFUSALS) {
  test(`HTTP ${status} to a review is no verdict on the token`, async (t) => {
    const { client, server } = await serve(t, (_call, answer) => {
      answer.send(status, JSON_TYPE, statusJson(`echo ${POD_TOKEN} ${DAEMON_TOKEN}`, status))
    })
    const review = client.reviewToken(podToken(), ['latchkey'], never())
    await assertFails(t, review, 'KubeUnavailable', message)
    t.is(server.calls.length, 1)
  })
}

test('an answer that is too long is given up before its end', async (t) => {
  const { client } = await serve(t, (_call, answer) => {
    answer.start(201, JSON_TYPE)
    answer.write(Buffer.alloc(300_000, ' '))
  })
  const review = client.reviewToken(podToken(), ['latchkey'], never())
  await assertFails(t, review, 'PayloadTooLarge', /larger than 262144 bytes/)
})

test('an answer that trickles is given up at the deadline', async (t) => {
  const { client } = await serve(
    t,
    (_call, answer) => {
      answer.start(201, JSON_TYPE)
      const trickle = setInterval(() => {
        if (answer.gone()) clearInterval(trickle)
        else answer.write(' ')
      }, 20)
    },
    { limits: { callTimeoutMs: 200 } },
  )
  const review = client.reviewToken(podToken(), ['latchkey'], never())
  await assertFails(t, review, 'Timeout', /the token review took longer than 0.2 s/)
})

test('no answer at all is given up at the deadline', async (t) => {
  const { client } = await serve(t, () => undefined, { limits: { callTimeoutMs: 200 } })
  const review = client.reviewToken(podToken(), ['latchkey'], never())
  await assertFails(t, review, 'Timeout', /./)
})

test("the daemon's token file is read anew after a minute", async (t) => {
  const clock = new FakeClock()
  const { connection, folder, server } = await makeWorld(t, {
    answer: (_call, answer) => {
      answer.send(201, JSON_TYPE, JSON.stringify(REVIEW))
    },
  })
  const file = join(folder, 'token')
  writeFileSync(file, 'first\n')
  const client = clientOf(t, { ...connection, bearer: { file } }, { clock })
  const review = (): Promise<unknown> => client.reviewToken(podToken(), ['latchkey'], never())
  await review()
  writeFileSync(file, 'second\n')
  await review()
  await clock.advance(60_000)
  await review()
  const sent = server.calls.map(({ headers }) => headers['authorization'])
  t.deepEqual(sent, ['Bearer first', 'Bearer first', 'Bearer second'])
})

test("a daemon's token that is refused is looked up again at once", async (t) => {
  const { connection, folder, server } = await makeWorld(t, {
    answer: (call, answer) => {
      const good = call.headers['authorization'] === 'Bearer second'
      answer.send(good ? 201 : 401, JSON_TYPE, JSON.stringify(REVIEW))
    },
  })
  const file = join(folder, 'token')
  writeFileSync(file, 'first')
  const client = clientOf(t, { ...connection, bearer: { file } })
  const review = (): Promise<unknown> => client.reviewToken(podToken(), ['latchkey'], never())
  await assertFails(t, review(), 'KubeUnavailable', /own credentials/)
  writeFileSync(file, 'second')
  await t.notThrowsAsync(review())
  t.is(server.calls.length, 2)
})

test('a daemon without its token file says so', async (t) => {
  const { connection, folder } = await makeWorld(t, { answer: () => undefined })
  const client = clientOf(t, { ...connection, bearer: { file: join(folder, 'none') } })
  const review = client.reviewToken(podToken(), ['latchkey'], never())
  await assertFails(t, review, 'KubeUnavailable', /the daemon's own token .*none.*\(ENOENT\)/)
})

test('a token file that vanishes later leaves the token that was read', async (t) => {
  const clock = new FakeClock()
  const { connection, folder, server } = await makeWorld(t, {
    answer: (_call, answer) => {
      answer.send(201, JSON_TYPE, JSON.stringify(REVIEW))
    },
  })
  const file = join(folder, 'token')
  writeFileSync(file, 'first')
  const client = clientOf(t, { ...connection, bearer: { file } }, { clock })
  await client.reviewToken(podToken(), ['latchkey'], never())
  writeFileSync(file, ' \n')
  await clock.advance(60_000)
  await client.reviewToken(podToken(), ['latchkey'], never())
  t.is(server.calls[1]?.headers['authorization'], 'Bearer first')
})

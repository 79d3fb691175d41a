import test from 'ava'
import type { ExecutionContext } from 'ava'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { ClusterConnection } from '../../../src/daemon/kube/cluster-connection.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { until } from '../../support/until.ts'
import type { Call, Answer } from './api-server.ts'
import { makeAuthority, makeLeaf } from './authorities.ts'
import { PROTOBUF, secretBytes } from './kubernetes-bytes.ts'
import { startFreezingProxy } from './freezing-proxy.ts'
import type { World } from './kube-world.ts'
import {
  DAEMON_TOKEN,
  DB,
  POD_TOKEN,
  assertFails,
  clientOf,
  makeWorld,
  never,
  podToken,
  serve,
} from './kube-world.ts'

const REVIEWED = '{"kind":"TokenReview","status":{"authenticated":true}}'
const EVENT = '{"type":"ADDED","object":{"metadata":{"resourceVersion":"1"}}}\n'

/** Answers reviews and reads, and keeps watches open. */
function answerAll(call: Call, answer: Answer): void {
  if (call.method === 'POST') answer.send(201, 'application/json', REVIEWED)
  else if (!call.url.searchParams.has('watch')) answer.send(200, PROTOBUF, secretBytes())
  else {
    answer.start(200, 'application/json')
    answer.write(EVENT)
  }
}

for (const http2 of [false, true]) {
  const server = http2 ? 'a server that offers HTTP/2' : 'a server of HTTP/1.1'

  test(`50 reviews and 50 reads in a row take two connections, with ${server}`, async (t) => {
    const world = await serve(t, answerAll, { http2 })
    for (let round = 0; round < 50; round += 1) {
      await world.client.reviewToken(podToken(), ['latchkey'], never())
      await world.client.readSecret(DB, podToken(), never())
    }
    t.is(world.server.calls.length, 100)
    t.is(world.server.connections(), 2)
  })

  test(`50 reviews and 50 reads at once share sixteen connections, with ${server}`, async (t) => {
    const world = await serve(t, answerAll, { http2 })
    await Promise.all(
      Array.from({ length: 50 }).flatMap(() => [
        world.client.reviewToken(podToken(), ['latchkey'], never()),
        world.client.readSecret(DB, podToken(), never()),
      ]),
    )
    t.is(world.server.calls.length, 100)
    t.log(`${world.server.connections()} connections`)
    t.true(world.server.connections() <= 16)
  })
}

test('150 watches share a few connections where the server speaks HTTP/2', async (t) => {
  const { client, server } = await serve(t, answerAll, { http2: true })
  const watches = Array.from({ length: 150 }, () =>
    client.watchSecret(DB, undefined, podToken(), never())[Symbol.asyncIterator](),
  )
  await Promise.all(watches.map((watch) => watch.next()))
  t.log(`${server.connections()} connections`)
  t.true(server.connections() <= 4)
  await Promise.all(watches.map(async (watch) => watch.return?.()))
})

test('open watches keep no read and no review waiting, even where each takes a connection', async (t) => {
  const { client, server } = await serve(t, answerAll, { limits: { callTimeoutMs: 5_000 } })
  const watches = Array.from({ length: 40 }, () =>
    client.watchSecret(DB, undefined, podToken(), never())[Symbol.asyncIterator](),
  )
  await Promise.all(watches.map((watch) => watch.next()))
  t.is(server.connections(), 40)
  await client.readSecret(DB, podToken(), never())
  await client.reviewToken(podToken(), ['latchkey'], never())
  t.is(server.connections(), 42)
  await Promise.all(watches.map(async (watch) => watch.return?.()))
})

/** A server that asks for client certificates, and one that it believes. */
async function makeAskingWorld(
  t: ExecutionContext,
): Promise<World & Pick<ClusterConnection, 'certificate'>> {
  const folder = tempDir(t)
  const clientAuthority = makeAuthority(folder, 'client-ca')
  const leaf = { subject: '/O=system:masters/CN=admin', san: 'DNS:admin' }
  const { cert, key } = makeLeaf(folder, 'admin', clientAuthority, leaf)
  const world = await makeWorld(t, { answer: answerAll, clientAuthority, http2: true })
  return { ...world, certificate: { certPem: cert, keyPem: SecretBytes.copyOf(key) } }
}

for (const withBearer of [false, true]) {
  const also = withBearer ? 'token and client certificate' : 'client certificate'

  test(`the daemon's ${also} are for reviews alone: a pod's call shows the pod's token and nothing else`, async (t) => {
    const { connection, certificate, server } = await makeAskingWorld(t)
    const bearer = withBearer ? connection.bearer : undefined
    const client = clientOf(t, { ...connection, bearer, certificate })
    await client.reviewToken(podToken(), ['latchkey'], never())
    await client.readSecret(DB, podToken(), never())
    const watch = client.watchSecret(DB, undefined, podToken(), never())[Symbol.asyncIterator]()
    await watch.next()
    await watch.return?.()
    t.deepEqual(
      server.calls.map(({ client: name, headers }) => [name, headers['authorization']]),
      [
        ['admin', withBearer ? `Bearer ${DAEMON_TOKEN}` : undefined],
        [undefined, `Bearer ${POD_TOKEN}`],
        [undefined, `Bearer ${POD_TOKEN}`],
      ],
    )
  })
}

test('closing ends what is under way, and nothing is sent afterwards', async (t) => {
  const { client, server } = await serve(t, (call, answer) => {
    if (call.url.searchParams.has('watch')) answerAll(call, answer)
  })
  const watch = client.watchSecret(DB, undefined, podToken(), never())[Symbol.asyncIterator]()
  await watch.next()
  const next = watch.next()
  const read = client.readSecret(DB, podToken(), never())
  await until(() => server.calls.length === 2, { what: 'both calls' })
  const refused = assertFails(t, read, 'ShuttingDown', /the daemon is stopping/)
  await client.close()
  await refused
  t.true((await next).done)
  const late = client.reviewToken(podToken(), ['latchkey'], never())
  await assertFails(t, late, 'ShuttingDown', /the daemon is stopping/)
  t.is(server.calls.length, 2)
})

test('a connection that died without a word costs the watches on it one timeout, not all that follow', async (t) => {
  const world = await makeWorld(t, { answer: answerAll, http2: true })
  const proxy = await startFreezingProxy(t, world.server.port)
  const connection = { ...world.connection, origin: `https://127.0.0.1:${proxy.port}` }
  const client = clientOf(t, connection, { limits: { callTimeoutMs: 2_000 } })
  const start = async (): Promise<boolean | undefined> =>
    (await client.watchSecret(DB, undefined, podToken(), never())[Symbol.asyncIterator]().next())
      .done
  t.false(await start())
  proxy.freeze()
  await assertFails(t, start(), 'Timeout', /in time/)
  t.false(await start())
  t.is(world.server.connections(), 2)
})

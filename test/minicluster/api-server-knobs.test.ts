import { writeFileSync } from 'node:fs'
import { Agent, request } from 'node:https'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import test from 'ava'
import type { ExecutionContext } from 'ava'
import { systemClock } from '../../src/core/clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import { SecretBytes } from '../../src/core/secret-bytes.ts'
import { loadKubeconfig } from '../../src/daemon/kube/kubeconfig.ts'
import { createKubeClient } from '../../src/daemon/kube/create-client.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { tempDir } from '../support/temp-dir.ts'
import { until } from '../support/until.ts'
import { ask, openWatch } from './api-request.ts'
import { bytesOf, startMemoryApi } from './memory-api.ts'
import type { MemoryApi } from './memory-api.ts'
import { createTenant, secretPath, watchPath } from './contract/tenant.ts'

async function start(t: ExecutionContext, clock: Clock = systemClock): Promise<MemoryApi> {
  const api = await startMemoryApi(clock)
  t.teardown(() => api.server.stop())
  return api
}

test('requests are counted by kind, refused ones too', async (t) => {
  const { server, contract } = await start(t)
  const { namespace, token } = await createTenant(contract)
  await contract.createSecret(namespace, 'db', { a: 'b' })
  await ask(contract, { path: secretPath(namespace, 'db'), token })
  await ask(contract, { path: secretPath(namespace, 'other'), token })
  await ask(contract, { path: watchPath(namespace, 'other'), token })
  await ask(contract, { path: '/readyz' })
  const path = '/apis/authentication.k8s.io/v1/tokenreviews'
  await ask(contract, { method: 'POST', path, token, body: {} })
  t.deepEqual(server.counts, { tokenReview: 1, secretRead: 2, secretWatch: 1, other: 1 })
})

test('open watches and connections are counted while they are open', async (t) => {
  const { server, contract } = await start(t)
  const { namespace, token } = await createTenant(contract)
  const watch = await openWatch(contract, { path: watchPath(namespace, 'db'), token })
  t.deepEqual([server.openWatches, server.openConnections], [1, 1])
  watch.close()
  await until(() => server.openWatches === 0, { what: 'the watch to be gone' })
  await until(() => server.openConnections === 0, { what: 'its connection to be gone' })
})

test('a client that keeps its connection is counted once', async (t) => {
  const { server, contract } = await start(t)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => {
    agent.destroy()
  })
  for (let i = 0; i < 3; i += 1) await ask(contract, { path: '/readyz', agent })
  t.is(server.connections, 1)
})

test('down cuts watches and refuses connections, up answers at the same address', async (t) => {
  const { server, contract } = await start(t)
  const { namespace, token } = await createTenant(contract)
  const { origin } = server
  const watch = await openWatch(contract, { path: watchPath(namespace, 'db'), token })
  await server.down()
  t.false(server.isUp)
  t.false(await watch.ended, 'broken off, not ended')
  t.is(server.openWatches, 0)
  await t.throwsAsync(ask(contract, { path: '/readyz' }), { code: 'ECONNREFUSED' })
  await server.up()
  t.is(server.origin, origin)
  t.is((await ask(contract, { path: '/readyz' })).status, 200)
})

test('requests fail as often as told, and only those of that kind', async (t) => {
  const { server, contract } = await start(t)
  const { namespace, token } = await createTenant(contract)
  await contract.createSecret(namespace, 'db', { a: 'b' })
  const read = { path: secretPath(namespace, 'db'), token }
  server.failNext({ count: 1, code: 500, kind: 'secretRead' })
  server.failNext({ count: 1, code: 429 })
  const busy = await ask(contract, { path: '/readyz' })
  t.is(busy.status, 429)
  t.is(busy.headers['retry-after'], '1')
  const failed = await ask(contract, read)
  t.is(failed.status, 500)
  t.like(failed.json(), { kind: 'Status', reason: 'InternalError', code: 500 })
  t.is((await ask(contract, read)).status, 200)
  server.failNext({ count: 5, code: 500 })
  server.clearFaults()
  t.is((await ask(contract, read)).status, 200)
})

test('latency holds every answer back by that time', async (t) => {
  const clock = new FakeClock()
  const { server, contract } = await start(t, clock)
  server.setLatency(3000)
  let answered = false
  const reply = ask(contract, { path: '/readyz' }).then((got) => {
    answered = true
    return got
  })
  await until(() => clock.pending > 0, { what: 'the request to arrive' })
  await clock.advance(2999)
  t.false(answered)
  await clock.advance(1)
  t.is((await reply).status, 200)
})

test('all watches can be ended in good order, and new ones opened', async (t) => {
  const { server, contract } = await start(t)
  const { namespace, token } = await createTenant(contract)
  const question = { path: watchPath(namespace, 'db'), token }
  const watch = await openWatch(contract, question)
  server.endWatches()
  t.true(await watch.ended)
  const next = await openWatch(contract, question)
  await contract.createSecret(namespace, 'db', { a: 'b' })
  t.is((await next.arrive(1))[0]?.type, 'ADDED')
  next.close()
})

test('an open watch goes on after a compaction, which only new ones feel', async (t) => {
  const { server, contract } = await start(t)
  const { namespace, token } = await createTenant(contract)
  const watch = await openWatch(contract, { path: watchPath(namespace, 'db'), token })
  await contract.createSecret(namespace, 'db', { a: 'b' })
  server.compact()
  await contract.updateSecret(namespace, 'db', { a: 'c' })
  const lines = await watch.arrive(2)
  watch.close()
  t.deepEqual(
    lines.map(({ type }) => type),
    ['ADDED', 'MODIFIED'],
  )
})

test('a version from the future is waited for in silence', async (t) => {
  const { objects, contract } = await start(t)
  const { namespace, token } = await createTenant(contract)
  const version = Number(await contract.createSecret(namespace, 'db', { a: '0' }))
  const path = watchPath(namespace, 'db', `&resourceVersion=${version + 2}`)
  const watch = await openWatch(contract, { path, token })
  t.is(watch.status, 200)
  const versions = ['1', '2', '3'].map(
    (a) => objects.updateSecret({ namespace, name: 'db', data: bytesOf({ a }) }).resourceVersion,
  )
  t.is(versions.at(-1), version + 3)
  const [line] = await watch.arrive(1)
  watch.close()
  t.is(line?.object.metadata.resourceVersion, String(version + 3))
})

test('a silent watch gets a bookmark every minute, where it allows them', async (t) => {
  const clock = new FakeClock()
  const { contract } = await start(t, clock)
  const { namespace, token } = await createTenant(contract)
  const version = await contract.createSecret(namespace, 'db', { a: 'b' })
  const query = `&resourceVersion=${version}`
  const silent = await openWatch(contract, { path: watchPath(namespace, 'db', query), token })
  const path = watchPath(namespace, 'db', `${query}&allowWatchBookmarks=true`)
  const marked = await openWatch(contract, { path, token })
  const later = await contract.createSecret(namespace, 'late', { a: 'b' })
  await clock.advance(120_000)
  const lines = await marked.arrive(2)
  t.deepEqual(
    lines.map(({ type, object }) => [type, object.metadata.resourceVersion]),
    [
      ['BOOKMARK', later],
      ['BOOKMARK', later],
    ],
  )
  t.deepEqual(silent.lines(), [])
  silent.close()
  marked.close()
})

test('a watch without a limit of its own ends after half an hour, its timers with it', async (t) => {
  const clock = new FakeClock()
  const { contract } = await start(t, clock)
  const { namespace, token } = await createTenant(contract)
  const path = watchPath(namespace, 'db', '&allowWatchBookmarks=true')
  const watch = await openWatch(contract, { path, token })
  await clock.advance(1_800_000)
  t.true(await watch.ended)
  t.is(clock.pending, 0)
})

test('a reader that does not read is cut off', async (t) => {
  const { server, objects, contract } = await start(t)
  const { namespace, token } = await createTenant(contract)
  const { hostname, port } = new URL(contract.origin)
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` }
    const path = watchPath(namespace, 'db')
    request({ hostname, port, path, headers, ca: contract.authorityPem, agent: false }, (got) => {
      got.on('error', () => undefined)
      got.pause()
      resolve(got)
    })
      .once('error', reject)
      .end()
  })
  response.pause()
  objects.createSecret({ namespace, name: 'db', data: { big: Buffer.alloc(1_000_000) } })
  for (let round = 1; round < 30 && server.openWatches > 0; round += 1) {
    objects.updateSecret({ namespace, name: 'db', data: { big: Buffer.alloc(1_000_000, round) } })
    await new Promise((resolve) => setImmediate(resolve))
  }
  await until(() => server.openWatches === 0, { what: 'the reader to be cut off' })
  t.pass()
})

test('the kubeconfig leads the real client of the daemon here, over few connections', async (t) => {
  const { server, objects, contract } = await start(t)
  const { namespace, pod } = await createTenant(contract)
  objects.createSecret({ namespace, name: 'db', data: bytesOf({ password: 'hunter2' }) })
  const file = join(tempDir(t), 'kubeconfig')
  writeFileSync(file, server.daemonKubeconfig(), { mode: 0o600 })
  const client = createKubeClient({ connection: loadKubeconfig(file), clock: systemClock })
  t.teardown(() => client.close())
  const signal = AbortSignal.timeout(20_000)
  const token = objects.podToken(pod, 'latchkey').token
  const review = await client.reviewToken(token, ['latchkey'], signal)
  t.true(review.authenticated)
  t.deepEqual(review.extra.get('authentication.kubernetes.io/pod-uid'), [pod.uid])
  const apiToken = objects.podToken(pod, '').token
  const ref = { namespace, name: 'db' }
  const secret = await client.readSecret(ref, apiToken, signal)
  t.is(secret.data.get('password')?.use(String), 'hunter2')
  const events = client.watchSecret(ref, secret.resourceVersion, apiToken, signal)
  const iterator = events[Symbol.asyncIterator]()
  const next = iterator.next()
  objects.updateSecret({ namespace, name: 'db', data: bytesOf({ password: 'changed' }) })
  t.like(await next, { done: false, value: { type: 'present' } })
  await iterator.return?.()
  const garbage = new SecretBytes(Buffer.from('garbage'))
  await t.throwsAsync(client.readSecret(ref, garbage, signal), { message: /does not accept/ })
  t.true(server.connections <= 3, `${server.connections} connections`)
})

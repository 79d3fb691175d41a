import { once } from 'node:events'
import * as http from 'node:http'
import type { AddressInfo } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { askHealth } from '../../../../src/daemon/sources/vault/health.ts'
import type { VaultSettings } from '../../../../src/daemon/sources/vault/settings.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { until } from '../../../support/until.ts'

const signal = new AbortController().signal

/** A server that answers every call alike, and what it was sent. */
async function serverWith(t: ExecutionContext, answer: http.RequestListener) {
  const requests: http.IncomingMessage[] = []
  const server = http.createServer((request, response) => {
    requests.push(request)
    answer(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = server.address() as AddressInfo
  return { requests, settings: settingsFor(`http://127.0.0.1:${port}`) }
}

function settingsFor(address: string): VaultSettings {
  return {
    name: 'vault-prod',
    address,
    namespace: 'team-a',
    auth: { method: 'jwt', mount: 'jwt', role: 'shop', audience: 'vault' },
    limits: { concurrent: 16, perSecond: 50, timeoutMs: 30_000, maxBytes: 64 * 1024 },
  }
}

const say =
  (status: number, body: object | string, headers: http.OutgoingHttpHeaders = {}) =>
  (_request: http.IncomingMessage, response: http.ServerResponse): void => {
    response.writeHead(status, headers)
    response.end(typeof body === 'string' ? body : JSON.stringify(body))
  }

const HEALTH = { initialized: true, sealed: false, standby: false, version: '1.21.0' }

for (const [status, state] of [
  [200, 'active'],
  [429, 'standby'],
  [472, 'recovery-secondary'],
  [473, 'performance-standby'],
  [474, 'leaderless-standby'],
  [501, 'not-initialized'],
  [503, 'sealed'],
  [530, 'removed'],
] as const) {
  test(`a Vault that answers ${status} to a look at its health is ${state}`, async (t) => {
    const { settings } = await serverWith(t, say(status, HEALTH))
    t.deepEqual(await askHealth(settings, new FakeClock(), signal), { state, version: '1.21.0' })
  })
}

test('a look at the health sends nothing of anybody: no token, no namespace, no body', async (t) => {
  const { settings, requests } = await serverWith(t, say(200, HEALTH))
  await askHealth(settings, new FakeClock(), signal)
  t.is(requests.length, 1)
  const [request] = requests
  t.is(`${request?.method ?? ''} ${request?.url ?? ''}`, 'GET /v1/sys/health')
  t.deepEqual(Object.keys(request?.headers ?? {}).toSorted(), [
    'accept',
    'connection',
    'host',
    'user-agent',
    'x-vault-request',
  ])
})

test('a version that no Vault has is not repeated', async (t) => {
  const version = `1.0 and more\n${'x'.repeat(100)}`
  const { settings } = await serverWith(t, say(200, { ...HEALTH, version }))
  t.deepEqual(await askHealth(settings, new FakeClock(), signal), {
    state: 'active',
    version: undefined,
  })
})

const refuses = (title: string, answer: http.RequestListener, message: RegExp): void => {
  test(title, async (t) => {
    const { settings } = await serverWith(t, answer)
    const thrown = await t.throwsAsync(askHealth(settings, new FakeClock(), signal), { message })
    t.like(thrown, { reason: 'SourceUnavailable' })
  })
}

refuses(
  'a busy proxy in front of it is not taken for a sealed Vault',
  say(503, '<html>busy</html>'),
  /what answered \(503\) is no Vault/,
)
refuses('a website is no Vault', say(200, { welcome: true }), /what answered \(200\) is no Vault/)
refuses(
  'a redirect is not followed, and told of',
  say(307, '', { location: 'https://elsewhere.example/' }),
  /redirect \(307\)/,
)
test('what answers a look at the health with a refusal is there, and hides how it is', async (t) => {
  for (const status of [400, 403, 404]) {
    const { settings } = await serverWith(t, say(status, { errors: ['permission denied'] }))
    const health = await askHealth(settings, new FakeClock(), signal)
    t.deepEqual(health, { state: 'hidden', version: undefined })
  }
})

test('a Vault that nobody serves is told of by what the connection came to', async (t) => {
  const settings = settingsFor('http://127.0.0.1:1')
  await t.throwsAsync(askHealth(settings, new FakeClock(), signal), {
    message: /no connection to Vault "vault-prod" \(ECONNREFUSED\)/,
  })
})

test('a Vault that never answers is given five seconds', async (t) => {
  const { settings, requests } = await serverWith(t, () => undefined)
  const clock = new FakeClock()
  const asked = askHealth(settings, clock, signal)
  const told = t.throwsAsync(asked, { message: /took longer than 5 s/ })
  await until(() => requests.length === 1, { what: 'the call' })
  await clock.advance(5_000)
  await told
  t.is(clock.pending, 0)
})

import type { ServerResponse } from 'node:http'
import test from 'ava'
import { LATCHKEY_DRIVER } from '../../src/minicluster/csi-driver.ts'
import { until } from '../support/until.ts'
import { VaultNode } from './vault-node.ts'

const TOKEN = '{ from: vault-prod, secret: kv/shop/api, key: token, path: api-token }'
const USER = '{ from: vault-prod, secret: database/creds/shop, dir: db }'

test('a pod gets a file from a Vault, and a change within the interval', async (t) => {
  const node = await VaultNode.start(t)
  const pod = await node.runPod('api-0', TOKEN)
  t.is(await node.read(pod, 'api-token'), 'one')
  node.kv.put('shop/api', { token: 'two' })
  await node.untilReads(pod, 'api-token', 'two')
  const metrics = await node.metrics()
  t.regex(
    metrics,
    /latchkey_source_calls_total\{source="vault-prod",operation="login",outcome="ok",reason="none"\} 1\n/,
  )
  t.regex(metrics, /latchkey_source_sessions\{source="vault-prod"\} 1\n/)
})

test('a folder, the whole as JSON, a pinned version and a certificate lie in one volume', async (t) => {
  const node = await VaultNode.start(t)
  node.kv.put('shop/api', { token: 'two', limits: { rate: 3 } })
  const pod = await node.runPod(
    'api-0',
    '{ from: vault-prod, secret: kv/shop/api, dir: all }',
    '{ from: vault-prod, secret: kv/shop/api, format: json, path: all.json }',
    '{ from: vault-prod, secret: kv/shop/api, version: 1, key: token, path: first }',
    '{ from: vault-prod, secret: pki/issue/web, args: { common_name: api.shop }, dir: tls }',
  )
  t.is(await node.read(pod, 'all/token'), 'two')
  t.deepEqual(JSON.parse(await node.read(pod, 'all/limits')), { rate: 3 })
  t.deepEqual(JSON.parse(await node.read(pod, 'all.json')), { token: 'two', limits: { rate: 3 } })
  t.is(await node.read(pod, 'first'), 'one')
  t.regex(await node.read(pod, 'tls/certificate'), /^-----BEGIN CERTIFICATE-----/)
  t.regex(await node.read(pod, 'tls/private_key'), /^-----BEGIN RSA PRIVATE KEY-----/)
})

test('a Secret of the cluster and one of a Vault lie in one volume', async (t) => {
  const node = await VaultNode.start(t)
  const { objects } = node.cluster
  objects.createSecret({ namespace: 'shop', name: 'db', data: { password: Buffer.from('p') } })
  objects.grant({ namespace: 'shop', serviceAccount: 'api', secrets: ['db'], verbs: ['get'] })
  const pod = await node.runPod('api-0', TOKEN, '{ secret: db, key: password }')
  t.is(await node.read(pod, 'api-token'), 'one')
  t.is(await node.read(pod, 'password'), 'p')
})

test('without a token for the Vault a pod is told the line that the CSIDriver lacks', async (t) => {
  const node = await VaultNode.start(t, { driver: LATCHKEY_DRIVER })
  const message = await node.untilRefused(node.addPod('api-0', TOKEN), /TokenMissing/)
  t.true(message.includes('add `- audience: "vault"` to spec.tokenRequests of the CSIDriver'))
  t.is(node.vault.audit.length, 0, 'nothing was sent to the Vault')
})

test('a Vault with a certificate of a private authority is believed by its caFile', async (t) => {
  const node = await VaultNode.start(t, { tls: 'by caFile' })
  const pod = await node.runPod('api-0', TOKEN)
  t.is(await node.read(pod, 'api-token'), 'one')
})

test('without the caFile nothing is said to it', async (t) => {
  const node = await VaultNode.start(t, { tls: 'by nobody' })
  const message = await node.untilRefused(node.addPod('api-0', TOKEN), /SourceUnavailable/)
  t.regex(message, /caFile/)
  t.is(node.vault.audit.length, 0)
})

test('what the policy leaves out is denied with path and role', async (t) => {
  const node = await VaultNode.start(t)
  const item = '{ from: vault-prod, secret: kv/other/api, key: token }'
  const message = await node.untilRefused(node.addPod('api-0', item), /AccessDenied/)
  t.regex(message, /kv\/(data\/)?other\/api/)
  t.regex(message, /role "shop"/)
})

test('an unknown source is refused, with those that are declared', async (t) => {
  const node = await VaultNode.start(t)
  const item = '{ from: vault-prd, secret: kv/shop/api, key: token }'
  const message = await node.untilRefused(node.addPod('api-0', item), /InvalidRequest/)
  t.true(message.includes('kubernetes, vault-prod'), message)
})

test('pods of one service account share a login, and the last of them ends it', async (t) => {
  const node = await VaultNode.start(t)
  const pods = await Promise.all(['api-0', 'api-1'].map((name) => node.runPod(name, TOKEN)))
  t.is(node.vault.count('auth/jwt/login'), 1)
  const [first, last] = pods
  if (first === undefined || last === undefined) return t.fail()
  await node.endPod(first)
  node.kv.put('shop/api', { token: 'two' })
  await node.untilReads(last, 'api-token', 'two')
  t.is(node.vault.count('auth/token/revoke-self'), 0)
  await node.endPod(last)
  await until(() => node.vault.sessions.tokens.size === 0, { what: 'the session to end' })
  t.is(node.vault.count('auth/token/revoke-self'), 1)
  const ending = (): string | undefined =>
    node.lines.find((line) => line.includes('session at a source ended'))
  await until(() => ending() !== undefined, { what: 'the line for it' })
  t.like(JSON.parse(ending() ?? '{}'), {
    source: 'vault-prod',
    namespace: 'shop',
    serviceAccount: 'api',
    role: 'shop',
  })
})

test('each pod has a lease of its own, which is given back with it', async (t) => {
  const node = await VaultNode.start(t)
  const [first, last] = [await node.runPod('api-0', USER), await node.runPod('api-1', USER)]
  const users = [await node.read(first, 'db/username'), await node.read(last, 'db/username')]
  t.deepEqual(new Set(users), node.database.users)
  t.is(node.database.users.size, 2)
  await node.endPod(first)
  await until(() => node.database.users.size === 1, { what: 'the first user to be dropped' })
  t.deepEqual([...node.database.users], users.slice(1))
  t.true(node.database.users.has(await node.read(last, 'db/username')))
  await node.endPod(last)
  await until(() => node.database.users.size === 0, { what: 'the last user to be dropped' })
  await until(() => node.vault.sessions.tokens.size === 0, { what: 'the session to end' })
})

test('a lease outlives the daemon: its successor goes on with it and makes no new user', async (t) => {
  const node = await VaultNode.start(t)
  const pod = await node.runPod('api-0', USER)
  const user = await node.read(pod, 'db/username')
  await node.stopDaemon()
  t.deepEqual([...node.database.users], [user])
  await node.startDaemon()
  await until(() => node.vault.count('auth/token/lookup-self') > 0, {
    what: 'the session to be resumed',
  })
  t.is(await node.read(pod, 'db/username'), user)
  t.is(node.vault.count('auth/jwt/login'), 2, 'one of the account, one of the volume')
  await node.endPod(pod)
  await until(() => node.database.users.size === 0, { what: 'the user to be dropped' })
  t.is(node.vault.count('database/creds/shop'), 1)
})

test('a sealed Vault takes no files away, shows as stale, and is taken up again', async (t) => {
  const node = await VaultNode.start(t)
  const pod = await node.runPod('api-0', TOKEN)
  node.vault.isSealed = true
  await until(async () => (await node.metrics()).includes('latchkey_volumes{state="stale"} 1\n'), {
    what: 'the volume to be stale',
  })
  t.is(await node.read(pod, 'api-token'), 'one')
  const late = node.addPod('api-1', TOKEN)
  await node.untilRefused(late, /SourceUnavailable/)
  node.kv.put('shop/api', { token: 'two' })
  node.vault.isSealed = false
  await until(async () => (await node.read(pod, 'api-token')) === 'two', {
    timeoutMs: 30_000,
    what: 'the pod to read two',
  })
  await until(async () => (await node.metrics()).includes('latchkey_volumes{state="stale"} 0\n'), {
    what: 'the volume to be fresh',
  })
})

test('a Vault that answers nothing keeps no pod from a Secret of the cluster', async (t) => {
  const node = await VaultNode.start(t)
  const { objects } = node.cluster
  objects.createSecret({ namespace: 'shop', name: 'db', data: { password: Buffer.from('p') } })
  objects.grant({ namespace: 'shop', serviceAccount: 'api', secrets: ['db'], verbs: ['get'] })
  const hanging: ServerResponse[] = []
  node.vault.fault = (request, response) => {
    if (request.url?.startsWith('/v1/kv/') !== true) return undefined
    hanging.push(response)
    return true
  }
  for (let number = 0; number < 12; number += 1) {
    node.addPod(`stuck-${number}`, `{ from: vault-prod, secret: kv/shop/${number}, dir: all }`)
  }
  await until(() => hanging.length > 0, { what: 'the Vault to be asked' })
  const pod = await node.runPod('api-0', '{ secret: db, key: password }')
  t.is(await node.read(pod, 'password'), 'p')
  node.vault.fault = undefined
  for (const response of hanging) response.destroy()
})

test('neither values nor tokens nor names of secrets reach a log line, a metric or an event', async (t) => {
  const node = await VaultNode.start(t)
  node.kv.put('shop/canary-name', { token: 'canary-value' })
  const item = '{ from: vault-prod, secret: kv/shop/canary-name, key: token }'
  const pod = await node.runPod('api-0', item, USER)
  const password = await node.read(pod, 'db/password')
  const denied = node.addPod('api-1', '{ from: vault-prod, secret: kv/other/api, key: token }')
  await node.untilRefused(denied, /AccessDenied/)
  await node.endPod(pod)
  const metrics = await node.metrics()
  const events = [pod, denied].flatMap((one) => node.cluster.kubelet.events(one))
  const everything = [...node.lines, metrics, JSON.stringify(events)].join('\n')
  t.true(node.lines.some((line) => line.includes('call to a source made')))
  t.notRegex(everything, /canary-value|hvs\.|eyJ[\w-]{8,}\./)
  t.false(everything.includes(password))
  t.notRegex(metrics, /canary-name|kv\/|database|shop/)
  t.false(node.lines.some((line) => line.includes('canary-name')))
})

test('our id of a call is in our log and in the audit log of the Vault', async (t) => {
  const node = await VaultNode.start(t)
  await node.runPod('api-0', TOKEN)
  const line = node.lines
    .map((text) => JSON.parse(text) as Readonly<Record<string, unknown>>)
    .find(({ operation }) => operation === 'login')
  t.truthy(line)
  const audited = node.vault.audit.find(({ path }) => path === 'auth/jwt/login')
  t.is(line?.['callId'], audited?.callId)
  t.is(line?.['requestId'], audited?.requestId)
})

import test from 'ava'
import { until } from '../support/until.ts'
import { VaultNode } from './vault-node.ts'

const TOKEN = '{ from: vault-prod, secret: kv/shop/api, key: token, path: api-token }'
const USER = '{ from: vault-prod, secret: database/creds/shop, dir: db }'

test('where a source names a namespace, every call of a pod’s life goes there, to the last one', async (t) => {
  const node = await VaultNode.start(t, { server: 'openbao', namespace: 'team-a' })
  const pod = await node.runPod('api-0', TOKEN, USER)
  t.is(await node.read(pod, 'api-token'), 'one')
  const user = await node.read(pod, 'db/username')
  t.deepEqual([...node.database.users], [user])
  await node.stopDaemon()
  await node.startDaemon()
  node.kv.put('shop/api', { token: 'two' })
  await node.untilReads(pod, 'api-token', 'two')
  t.deepEqual([...node.database.users], [user], 'the next daemon goes on with it')
  await node.endPod(pod)
  await until(() => node.database.users.size === 0 && node.vault.sessions.tokens.size === 0, {
    what: 'user and sessions to be given back',
  })
  t.deepEqual([...new Set(node.vault.audit.map(({ namespace }) => namespace))], ['team-a'])
  t.true(node.vault.audit.every(({ status }) => status < 300))
})

test('a namespace that does not exist is named in the pod’s event', async (t) => {
  const node = await VaultNode.start(t, { server: 'openbao', namespace: 'team-a' })
  node.vault.namespace = 'team-b'
  const message = await node.untilRefused(node.addPod('api-0', TOKEN), /InvalidRequest/)
  t.regex(message, /in namespace "team-a" \(namespace not found\): mend the source's namespace/)
})

test('sessions that an OpenBao has ended are replaced, also those that a new daemon takes over', async (t) => {
  const node = await VaultNode.start(t, { server: 'openbao' })
  const pod = await node.runPod('api-0', TOKEN)
  const endSessions = (): void => {
    for (const token of [...node.vault.sessions.tokens.values()]) {
      node.vault.sessions.endToken(token)
    }
  }
  endSessions()
  node.kv.put('shop/api', { token: 'two' })
  await node.untilReads(pod, 'api-token', 'two')
  await node.stopDaemon()
  endSessions()
  await node.startDaemon()
  node.kv.put('shop/api', { token: 'three' })
  await node.untilReads(pod, 'api-token', 'three')
  t.is(node.vault.count('auth/jwt/login'), 3)
})

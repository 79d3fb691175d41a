import test from 'ava'
import { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import { systemClock } from '../../../../src/core/clock.ts'
import type { FinishedCall } from '../../../../src/daemon/sources/vault/caller.ts'
import type { VaultSettings } from '../../../../src/daemon/sources/vault/settings.ts'
import { createVaultApi } from '../../../../src/daemon/sources/vault/vault-api.ts'
import { createAuthority } from '../../../../src/minicluster/pki.ts'
import { failureOf, logIn, signal, textsOf } from './contract-world.ts'
import { ROOMY, settingsFor, startDoubleWorld } from './double-world.ts'
import { withSecret } from './faulty-world.ts'
import { VaultDouble } from './vault-double.ts'

test('every call says what it is, and carries an id of its own', async (t) => {
  await withSecret(
    async (world, read) => {
      await read()
      const [login, lookup, mounts, first] = world.double.audit
      t.deepEqual(
        world.calls.map(({ operation, status }) => [operation, status]),
        [
          ['login', 200],
          ['lookup-self', 200],
          ['mounts', 200],
          ['read', 200],
        ],
      )
      for (const one of [login, lookup, mounts, first]) {
        t.true(one?.isFlagged)
        t.is(one?.namespace, 'team-a/shop')
      }
      const sent = world.double.audit.map(({ callId }) => callId)
      t.is(new Set(sent).size, 4)
      t.deepEqual(
        world.calls.map(({ callId }) => callId),
        sent.map((id) => id ?? 'none'),
      )
      t.deepEqual(
        world.calls.map(({ requestId }) => requestId),
        world.double.audit.map(({ requestId }) => requestId),
      )
    },
    { namespace: 'team-a/shop' },
  )
})

test('every call of a session goes to the namespace of the settings', async (t) => {
  const world = await startDoubleWorld()
  world.double.namespace = 'team-a/shop'
  const elsewhere = world.api()
  const api = world.api({ namespace: 'team-a/shop' })
  try {
    await failureOf(elsewhere.login(world.jwt(), 'api', signal()))
    const { token } = await api.login(world.jwt(), 'api', signal())
    const session = { token, role: 'api' }
    const { lease } = await api.read(session, { secret: 'database/creds/web' }, signal())
    if (lease === undefined) return t.fail('no lease')
    await api.renewLease(session, lease.id, 30_000, signal())
    await api.revokeLease(session, lease.id, signal())
    await api.renewSelf(session, 60_000, signal())
    await api.lookupSelf(session, signal())
    await api.revokeSelf(session, signal())
    const [refused, ...heard] = world.double.audit
    t.is(refused?.namespace, undefined)
    t.is(heard.length, 9, 'with the looks at the engine and at the session')
    t.true(heard.every(({ status }) => status < 300))
  } finally {
    await world.close()
  }
})

test('a failed call is reported with its reason', async (t) => {
  await withSecret(async (world, read) => {
    world.double.isSealed = true
    await failureOf(read())
    const { operation, status, reason, source } = world.calls.at(-1) ?? ({} as FinishedCall)
    t.deepEqual(
      { operation, status, reason, source },
      { operation: 'mounts', status: 503, reason: 'SourceUnavailable', source: 'vault-test' },
    )
  })
})

test('an engine is asked for once, however many secrets are read from it at the same time', async (t) => {
  const world = await startDoubleWorld()
  try {
    const api = world.api()
    const session = await logIn(world, api)
    const names = [...Array(20).keys()].map((index) => `shop/${index}`)
    for (const name of names) world.kv2.put(name, { a: name })
    await Promise.all(names.map((name) => api.read(session, { secret: `kv2/${name}` }, signal())))
    const asked = world.double.audit.filter(({ path }) => path.startsWith('sys/internal/'))
    t.is(asked.length, 1)
    const other = await logIn(world, api)
    await api.read(other, { secret: 'kv2/shop/1' }, signal())
    t.is(world.calls.filter(({ operation }) => operation === 'mounts').length, 2)
  } finally {
    await world.close()
  }
})

test('an engine that is given versions under way is found out with the first miss', async (t) => {
  const world = await startDoubleWorld()
  try {
    const api = world.api()
    const session = await logIn(world, api)
    await world.admin.putKv1('shop/a', { a: '1' })
    await api.read(session, { secret: 'kv1/shop/a' }, signal())
    world.double.engines.set('kv1/', world.kv2)
    world.double.sessions.policies.set('api', { 'kv1/*': ['read'] })
    world.kv2.put('shop/a', { a: '2' })
    t.is(
      (await failureOf(api.read(session, { secret: 'kv1/shop/a' }, signal()))).reason,
      'SecretNotFound',
    )
    const { entries } = await api.read(session, { secret: 'kv1/shop/a' }, signal())
    t.deepEqual(textsOf(entries), { a: '2' })
  } finally {
    await world.close()
  }
})

test('connections are kept, up to the limit', async (t) => {
  const world = await startDoubleWorld()
  try {
    const sockets = new Set<unknown>()
    world.double.fault = (request) => {
      sockets.add(request.socket)
      return undefined
    }
    const api = world.api({ limits: { ...ROOMY, concurrent: 2 } })
    const session = await logIn(world, api)
    world.kv2.put('shop/a', { a: '1' })
    const reads = (): Promise<unknown>[] =>
      [...Array(20).keys()].map(() => api.read(session, { secret: 'kv2/shop/a' }, signal()))
    await Promise.all(reads())
    await Promise.all(reads())
    t.is(sockets.size, 2)
  } finally {
    await world.close()
  }
})

test('a kept connection that the other side has closed costs a try, no error', async (t) => {
  await withSecret(async (world, read) => {
    await read()
    let broken = 0
    world.double.fault = (request) => {
      if (broken > 0) return undefined
      broken += 1
      request.socket.destroy()
      return true
    }
    await t.notThrowsAsync(read())
    t.is(broken, 1)
  })
})

test('what makes a user or a certificate is never asked for twice', async (t) => {
  const world = await startDoubleWorld()
  try {
    const api = world.api()
    const session = await logIn(world, api)
    const ref = { secret: 'database/creds/web' }
    await api.read(session, ref, signal())
    t.is(world.database.users.size, 1)
    let asked = 0
    world.double.fault = (request) => {
      asked += 1
      request.socket.destroy()
      return true
    }
    t.is((await failureOf(api.read(session, ref, signal()))).reason, 'SourceUnavailable')
    t.is(asked, 1)
  } finally {
    await world.close()
  }
})

test('over TLS the authority and the name in the certificate are held against the settings', async (t) => {
  const authority = await createAuthority('test')
  const tls = await authority.issueServer(['vault.shop'])
  const double = await VaultDouble.start({ clock: systemClock, checkJwt: () => undefined, tls })
  const jwt = new SecretBytes(Buffer.from('jwt'))
  const hear = async (changes: Partial<VaultSettings>): Promise<string> => {
    const settings = settingsFor(double.address, changes)
    const api = createVaultApi({ ...settings, clock: systemClock })
    const { message } = await failureOf(api.login(jwt, 'api', signal()))
    api.close()
    return message
  }
  try {
    const readCa = (): string => authority.certPem
    t.true((await hear({ readCa, serverName: 'vault.shop' })).includes('no role "api"'))
    t.true((await hear({ readCa })).includes('set serverName'))
    t.true((await hear({ serverName: 'vault.shop' })).includes('caFile'))
    const other = (await createAuthority('other')).certPem
    t.true((await hear({ readCa: () => other, serverName: 'vault.shop' })).includes('caFile'))
    t.is(double.audit.length, 1)
  } finally {
    await double.close()
  }
})

test('an authority that takes the place of another one is believed from the next connection on', async (t) => {
  const [old, next] = [await createAuthority('old'), await createAuthority('next')]
  const tls = await old.issueServer(['127.0.0.1'])
  const double = await VaultDouble.start({ clock: systemClock, checkJwt: () => undefined, tls })
  let ca = old.certPem
  const settings = settingsFor(double.address, { readCa: () => ca })
  const api = createVaultApi({ ...settings, clock: systemClock })
  const hear = async (): Promise<string> => {
    const jwt = new SecretBytes(Buffer.from('jwt'))
    return (await failureOf(api.login(jwt, 'api', signal()))).message
  }
  try {
    t.regex(await hear(), /no role "api"/)
    ca = next.certPem
    t.regex(await hear(), /caFile/, 'a connection that is open is not used any more')
    ca = old.certPem + next.certPem
    t.regex(await hear(), /no role "api"/)
  } finally {
    api.close()
    await double.close()
  }
})

test('nobody at home is SourceUnavailable, with the code', async (t) => {
  const api = createVaultApi({ ...settingsFor('http://127.0.0.1:1'), clock: systemClock })
  const error = await failureOf(api.login(new SecretBytes(Buffer.from('jwt')), 'api', signal()))
  t.is(error.reason, 'SourceUnavailable')
  t.is(error.message, 'no connection to Vault "vault-test" (ECONNREFUSED)')
  t.is(error.cause, undefined)
})

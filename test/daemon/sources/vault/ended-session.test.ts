import test from 'ava'
import { systemClock } from '../../../../src/core/clock.ts'
import type { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import { VaultSessions, type SessionHandle } from '../../../../src/daemon/sources/vault/sessions.ts'
import { failureOf, logIn, refusal, signal, textOf } from './contract-world.ts'
import { startDoubleWorld, type DoubleWorld } from './double-world.ts'
import { answer } from './faulty-world.ts'

const LOOKUP = 'auth/token/lookup-self'

async function withServer(
  server: 'vault' | 'openbao',
  work: (world: DoubleWorld) => Promise<void>,
): Promise<void> {
  const world = await startDoubleWorld(systemClock, { server })
  try {
    await work(world)
  } finally {
    await world.close()
  }
}

for (const server of ['vault', 'openbao'] as const) {
  test(`a right that is missing costs one question after the session: ${server}`, async (t) => {
    await withServer(server, async (world) => {
      const api = world.api()
      const session = await logIn(world, api)
      t.is(world.double.count(LOOKUP), 1, 'one for the role')
      const { reason, message, trouble } = await refusal(api, session, { secret: 'kv2/other/a' })
      t.is(reason, 'AccessDenied')
      t.is(trouble, undefined)
      t.true(message.includes('a policy of its role needs'), message)
      t.is(world.double.count(LOOKUP), 2)
    })
  })
}

test('a Vault that says that the session has ended is not asked again', async (t) => {
  await withServer('vault', async (world) => {
    const api = world.api()
    const session = await logIn(world, api)
    await world.admin.endSession(session.token)
    const { trouble } = await refusal(api, session, { secret: 'kv2/shop/a' })
    t.is(trouble, 'dead-token')
    const other = await logIn(world, api)
    t.is((await refusal(api, other, { secret: 'kv2/other/a' })).trouble, undefined)
    t.is(world.double.count(LOOKUP), 1, 'nor after any other from then on')
  })
})

test('while nobody can tell whether the session has ended, no right is said to be missing', async (t) => {
  await withServer('openbao', async (world) => {
    const api = world.api()
    const session = await logIn(world, api)
    const away = answer(503, JSON.stringify({ errors: ['Vault is sealed'] }))
    world.double.fault = (request, response) =>
      request.url === `/v1/${LOOKUP}` ? away(request, response) : undefined
    const { reason } = await refusal(api, session, { secret: 'kv2/other/a' })
    t.is(reason, 'SourceUnavailable')
  })
})

test('a login that is refused in the same words asks after no session', async (t) => {
  await withServer('openbao', async (world) => {
    const auth = { method: 'jwt', mount: 'nowhere', audience: 'vault' } as const
    const { reason } = await failureOf(world.api({ auth }).login(world.jwt(), 'api', signal()))
    t.is(reason, 'AccessDenied')
    t.is(world.double.count(LOOKUP), 0)
  })
})

test('a session that an OpenBao has ended is not taken for one that may not end itself', async (t) => {
  await withServer('openbao', async (world) => {
    const api = world.api()
    const session = await logIn(world, api)
    await world.admin.endSession(session.token)
    const refused = await failureOf(api.lookupSelf(session, signal()))
    t.is('trouble' in refused ? refused.trouble : undefined, 'dead-token')
    await t.notThrowsAsync(api.revokeSelf(session, signal()))
  })
})

/* Roles whose policies do not let them look themselves up: token_no_default_policy, or a policy "default" cut short. */

const OWNER = { namespace: 'shop', serviceAccount: 'api', serviceAccountUid: 'u', role: 'api' }
const MAY_END = { 'auth/token/revoke-self': ['update'] } as const

interface Daemon {
  readonly sessions: VaultSessions
  readonly handle: SessionHandle
  readonly read: (secret: string) => Promise<unknown>
}

function startDaemon(world: DoubleWorld, resume?: SecretBytes): Daemon {
  const api = world.api()
  const sessions = new VaultSessions({ api, clock: systemClock })
  const handle = sessions.acquire(OWNER, { resume })
  handle.offer({ token: world.jwt(), expiresAtMs: Date.now() + 600_000 })
  const read = (secret: string): Promise<unknown> =>
    handle.use(signal(), (session) => api.read(session, { secret }, signal()))
  return { sessions, handle, read }
}

const logins = ({ double }: DoubleWorld): number => double.count('auth/jwt/login')

for (const server of ['vault', 'openbao'] as const) {
  test(`without the right to look itself up a session is not taken for ended: ${server}`, async (t) => {
    await withServer(server, async (world) => {
      const { sessions } = world.double
      sessions.policies.set('default', MAY_END)
      const { handle, read } = startDaemon(world)
      await read('database/creds/web')
      for (let count = 0; count < 5; count += 1) {
        t.is((await failureOf(read('kv2/data/other/a'))).reason, 'AccessDenied')
      }
      t.is(logins(world), 1)
      t.is(world.double.count(LOOKUP), 1)
      t.is(world.database.users.size, 1)
      t.is(await handle.release(), 'ended')
      t.is(world.database.users.size, 0)
      t.is(sessions.tokens.size, 0)
    })
  })

  test(`a next daemon ends a session that may not look itself up, if late: ${server}`, async (t) => {
    await withServer(server, async (world) => {
      world.double.sessions.policies.set('default', MAY_END)
      const before = startDaemon(world)
      await before.read('database/creds/web')
      const bookmark = before.handle.bookmark()
      before.sessions.close()
      const after = startDaemon(world, bookmark)
      await after.read('database/creds/web')
      t.is(world.database.users.size, 2, 'the pod may still use the first')
      t.is(await after.handle.release(), 'ended')
      t.is(world.database.users.size, 0)
      t.is(world.double.sessions.tokens.size, 0)
    })
  })
}

test('a session that may not end itself is not said to have ended', async (t) => {
  await withServer('openbao', async (world) => {
    world.double.sessions.policies.set('default', {})
    const api = world.api()
    const session = await logIn(world, api)
    t.is((await failureOf(api.revokeSelf(session, signal()))).reason, 'AccessDenied')
  })
})

test('a policy that is cut short while its sessions live costs one login, and leaves none behind', async (t) => {
  await withServer('openbao', async (world) => {
    const { sessions } = world.double
    const { handle, read } = startDaemon(world)
    await read('database/creds/web')
    sessions.policies.set('default', MAY_END)
    for (let count = 0; count < 5; count += 1) await failureOf(read('kv2/data/other/a'))
    t.is(logins(world), 2)
    t.is(await handle.release(), 'ended')
    t.is(sessions.tokens.size, 0)
    t.is(world.database.users.size, 0)
  })
})

test('a session that an OpenBao has ended is replaced by one login, and the end of it is heard', async (t) => {
  await withServer('openbao', async (world) => {
    world.kv2.put('shop/a', { a: '1' })
    const { handle, read } = startDaemon(world)
    for (const expected of [1, 2, 3]) {
      await read('kv2/shop/a')
      t.is(logins(world), expected)
      await world.admin.endSession(handle.bookmark() ?? t.fail())
    }
    t.is(await handle.release(), 'ended')
  })
})

test('a session that lived when a daemon took it over, and then ended, is replaced', async (t) => {
  await withServer('openbao', async (world) => {
    world.kv2.put('shop/a', { a: '1' })
    const before = startDaemon(world)
    await before.read('kv2/shop/a')
    const bookmark = before.handle.bookmark()
    before.sessions.close()
    const after = startDaemon(world, bookmark)
    await after.read('kv2/shop/a')
    t.is(logins(world), 1)
    for (const token of [...world.double.sessions.tokens.values()]) {
      world.double.sessions.endToken(token)
    }
    await after.read('kv2/shop/a')
    t.is(logins(world), 2)
    t.is(await after.handle.release(), 'ended')
  })
})

test('a login stands where nobody can tell what its role may', async (t) => {
  await withServer('openbao', async (world) => {
    const away = answer(500, JSON.stringify({ errors: ['no storage'] }))
    world.double.fault = (request, response) =>
      request.url === `/v1/${LOOKUP}` ? away(request, response) : undefined
    const api = world.api()
    const session = await logIn(world, api)
    world.double.fault = undefined
    t.regex(textOf(session.token), /^s\./)
    t.is((await refusal(api, session, { secret: 'kv2/other/a' })).trouble, undefined)
    await world.admin.endSession(session.token)
    t.is((await refusal(api, session, { secret: 'kv2/other/a' })).trouble, 'dead-token')
  })
})

import test from 'ava'
import { systemClock } from '../../../../src/core/clock.ts'
import { failureOf, logIn, refusal, signal } from './contract-world.ts'
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
      const { reason, message, trouble } = await refusal(api, session, { secret: 'kv2/other/a' })
      t.is(reason, 'AccessDenied')
      t.is(trouble, undefined)
      t.true(message.includes('a policy of its role needs'), message)
      t.is(world.double.count(LOOKUP), 1)
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
    t.is(world.double.count(LOOKUP), 0)
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

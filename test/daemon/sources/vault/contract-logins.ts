import { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import { VaultError } from '../../../../src/daemon/sources/vault/vault-error.ts'
import { failureOf, logIn, refusal, signal, textOf, type ContractCase } from './contract-world.ts'

export const LOGINS: readonly ContractCase[] = [
  {
    title: 'a pod logs in with its own token and gets a session with a life',
    async run(t, world) {
      const api = world.api()
      const login = await api.login(world.jwt(), 'api', signal())
      t.true(login.token.length > 20)
      t.is(login.durationMs, 600_000)
      t.true(login.renewable)
      t.true(login.policies.includes('api'))
      const state = await api.lookupSelf({ token: login.token, role: 'api' }, signal())
      t.true(state.remainingMs > 590_000 && state.remainingMs <= 600_000, `${state.remainingMs}`)
      t.is(state.lifeMs, 600_000)
      t.true(state.renewable)
    },
  },
  {
    title: "a token for another audience is refused, with the CSIDriver's line",
    async run(t, world) {
      const jwt = world.jwt({ audience: 'elsewhere' })
      const { reason, message } = await failureOf(world.api().login(jwt, 'api', signal()))
      t.is(reason, 'TokenRejected')
      t.true(message.includes('spec.tokenRequests: [{ audience: "vault" }]'), message)
      t.true(message.includes('bound_audiences'), message)
      t.false(message.includes(textOf(jwt)))
    },
  },
  {
    title: 'a role that does not exist is told from one that is not for this pod',
    async run(t, world) {
      const api = world.api()
      const missing = await failureOf(api.login(world.jwt(), 'apo', signal()))
      t.is(missing.reason, 'InvalidRequest')
      t.true(missing.message.includes('no role "apo"'), missing.message)
      const stranger = world.jwt({ serviceAccount: 'web' })
      const unbound = await failureOf(api.login(stranger, 'api', signal()))
      t.is(unbound.reason, 'AccessDenied')
      t.true(unbound.message.includes('with role "api"'), unbound.message)
      t.true(unbound.message.includes('namespace and service account'), unbound.message)
    },
  },
  {
    title: 'a token that has expired is told from a role that is not for this pod',
    async run(t, world) {
      const jwt = world.jwt({ expiresAtMs: Date.now() - 3_600_000 })
      const { reason, message } = await failureOf(world.api().login(jwt, 'api', signal()))
      t.is(reason, 'TokenRejected')
      t.true(message.includes('token is expired'), message)
      t.false(message.includes('service account'), message)
    },
  },
  {
    title: 'an auth method that is not mounted is named with its setting',
    async run(t, world) {
      const auth = { method: 'jwt', mount: 'nowhere', audience: 'vault' } as const
      const { reason, message } = await failureOf(
        world.api({ auth }).login(world.jwt(), 'api', signal()),
      )
      t.is(reason, 'AccessDenied')
      t.true(message.includes('mounted at the source\'s auth.mount, "nowhere"'), message)
    },
  },
  {
    title: 'a namespace that does not exist is named with its setting',
    needs: 'namespaces',
    async run(t, world) {
      const { reason, message } = await failureOf(
        world.api({ namespace: 'nowhere' }).login(world.jwt(), 'api', signal()),
      )
      t.is(reason, 'InvalidRequest')
      t.true(message.includes('in namespace "nowhere" (namespace not found)'), message)
      t.true(message.includes("mend the source's namespace"), message)
    },
  },
]

export const REFUSALS: readonly ContractCase[] = [
  {
    title: 'a path that the policies do not grant is named with the role and the rule to add',
    async run(t, world) {
      const api = world.api()
      const session = await logIn(world, api)
      const { reason, message, trouble } = await refusal(api, session, { secret: 'kv2/other/a' })
      t.is(reason, 'AccessDenied')
      t.is(trouble, undefined)
      t.true(message.includes('role "api" read "kv2/data/other/a"'), message)
      t.true(message.includes('path "kv2/data/other/a" { capabilities = ["read"] }'), message)
    },
  },
  {
    title: 'a session that may do nothing hears how to write the path of a KV version 2 engine',
    async run(t, world) {
      const api = world.api()
      const session = await logIn(world, api, 'nothing')
      const { reason, message } = await refusal(api, session, { secret: 'kv2/shop/a' })
      t.is(reason, 'AccessDenied')
      t.true(message.includes('it is "kv2/data/shop/a", here and in the policy'), message)
      const whole = await refusal(api, session, { secret: 'kv2/data/shop/a', version: '1' })
      t.is(whole.reason, 'AccessDenied')
      t.false(whole.message.includes('kv2/data/data'), whole.message)
    },
  },
  {
    title: 'an engine that is named without a secret in it is refused by its name',
    async run(t, world) {
      const api = world.api()
      const session = await logIn(world, api)
      for (const secret of ['kv1', 'kv2', 'pki']) {
        const { reason, message } = await refusal(api, session, { secret })
        t.is(reason, 'InvalidRequest')
        t.true(message.includes(`"${secret}" is a whole engine`), message)
      }
    },
  },
  {
    title: 'a path where no engine is mounted is told from a secret that is missing',
    async run(t, world) {
      const api = world.api()
      const session = await logIn(world, api)
      const { reason, message } = await refusal(api, session, { secret: 'nowhere/a' })
      t.is(reason, 'SecretNotFound')
      t.true(message.includes('no engine is mounted at "nowhere/a"'), message)
    },
  },
  {
    title: 'a session that the other side ended is told from a right that is missing',
    async run(t, world) {
      const name = `shop/${world.uniqueName()}`
      await world.admin.putKv2(name, { a: 'one' })
      const api = world.api()
      const session = await logIn(world, api)
      await api.read(session, { secret: `kv2/${name}` }, signal())
      await world.admin.endSession(session.token)
      const known = await refusal(api, session, { secret: `kv2/${name}` })
      t.is(known.reason, 'AccessDenied')
      t.is(known.trouble, 'dead-token')
      // The call that asks for the engine says so, too.
      const unknown = await refusal(api, session, { secret: `kv1/${name}` })
      t.is(unknown.trouble, 'dead-token')
      const renewal = await failureOf(api.renewSelf(session, 60_000, signal()))
      t.true(renewal instanceof VaultError && renewal.trouble === 'dead-token', renewal.message)
      await t.notThrowsAsync(api.revokeSelf(session, signal()))
    },
  },
  {
    title: 'a session whose namespace was taken away is told from a server that fails',
    async run(t, world) {
      const name = `shop/${world.uniqueName()}`
      await world.admin.putKv2(name, { a: 'one' })
      const api = world.api()
      const { token, role } = await logIn(world, api)
      // A token ends in the id of its namespace; the token of one without goes without.
      const lost = { token: new SecretBytes(Buffer.from(`${textOf(token)}.abcdef`)), role }
      const refused = await refusal(api, lost, { secret: `kv2/${name}` })
      t.is(refused.reason, 'AccessDenied')
      t.is(refused.trouble, 'dead-token')
      await t.notThrowsAsync(api.revokeSelf(lost, signal()))
    },
  },
]

import type { ExecutionContext } from 'ava'
import type { LatchkeyError } from '../../../../src/core/errors.ts'
import type { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import type { FinishedCall } from '../../../../src/daemon/sources/vault/caller.ts'
import type { SecretRef } from '../../../../src/daemon/sources/vault/secret-ref.ts'
import type { VaultSettings } from '../../../../src/daemon/sources/vault/settings.ts'
import type { Session, VaultApi } from '../../../../src/daemon/sources/vault/vault-api.ts'
import { VaultError } from '../../../../src/daemon/sources/vault/vault-error.ts'
import type { JwtWishes } from './pod-jwt.ts'

/** What an administrator of Vault does; never through Latchkey. */
export interface VaultAdmin {
  putKv1(path: string, data: Readonly<Record<string, unknown>>): Promise<void>
  putKv2(path: string, data: Readonly<Record<string, unknown>>): Promise<void>
  deleteKv2(path: string, version: number): Promise<void>
  destroyKv2(path: string, version: number): Promise<void>
  /** With all versions and its metadata. */
  forgetKv2(path: string): Promise<void>
  putLeased(path: string, data: Readonly<Record<string, unknown>>): Promise<void>
  endSession(token: SecretBytes): Promise<void>
  livingLeases(prefix: string): Promise<number>
  /** Vault's own id of the request that carried one of ours, and the pod that it names. */
  audited(callId: string): Promise<AuditedCall | undefined>
}

export interface AuditedCall {
  readonly requestId: string
  readonly pod: string | undefined
}

/**
 * A Vault with these things in it: engines kv1/, kv2/, leased/ (KV version 1 with leases) and pki/ (role
 * `web` for web.shop), the jwt method at auth/jwt, and roles for service account shop/api and audience
 * `vault`: `api`, which may read shop/* everywhere, issue, and revoke leases; `short`, which ends after
 * 20 s; `batch`, whose tokens cannot be renewed; `nothing`, which may do nothing.
 */
export interface VaultWorld {
  readonly admin: VaultAdmin
  /** Every call that the APIs of this world have made. */
  readonly calls: readonly FinishedCall[]
  /** Closed with the world. */
  api(changes?: Partial<VaultSettings>): VaultApi
  jwt(wishes?: JwtWishes): SecretBytes
  /** Something that nobody else in this Vault uses. */
  uniqueName(): string
}

export interface ContractCase {
  readonly title: string
  readonly run: (t: ExecutionContext, world: VaultWorld) => Promise<void>
}

export const signal = (): AbortSignal => AbortSignal.timeout(20_000)

export async function logIn(
  world: VaultWorld,
  api: VaultApi,
  role = 'api',
  wishes: JwtWishes = {},
): Promise<Session> {
  const { token } = await api.login(world.jwt(wishes), role, signal())
  return { token, role }
}

export async function failureOf(work: Promise<unknown>): Promise<LatchkeyError> {
  try {
    await work
  } catch (thrown) {
    return thrown as LatchkeyError
  }
  throw new Error('it did not fail')
}

export function textsOf(entries: ReadonlyMap<string, SecretBytes>): Record<string, string> {
  return Object.fromEntries([...entries].map(([name, value]) => [name, textOf(value)]))
}

export function textOf(secret: SecretBytes): string {
  return secret.use((bytes) => bytes.toString())
}

/** Asks, and answers with the refusal. */
async function refusal(
  api: VaultApi,
  session: Session,
  ref: SecretRef,
): Promise<{ readonly reason: string; readonly message: string; readonly trouble?: string }> {
  const { reason, message, ...rest } = await failureOf(api.read(session, ref, signal()))
  return 'trouble' in rest && typeof rest.trouble === 'string'
    ? { reason, message, trouble: rest.trouble }
    : { reason, message }
}

const LOGINS: readonly ContractCase[] = [
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
]

const KV: readonly ContractCase[] = [
  {
    title: 'a KV version 2 secret is read by its name, with or without data/ in it',
    async run(t, world) {
      const name = `shop/${world.uniqueName()}`
      await world.admin.putKv2(name, { user: 'api', password: 'grüße <&> \u2028 "\\"' })
      const api = world.api()
      const session = await logIn(world, api)
      const short = await api.read(session, { secret: `kv2/${name}` }, signal())
      const full = await api.read(session, { secret: `kv2/data/${name}` }, signal())
      t.deepEqual(textsOf(short.entries), { user: 'api', password: 'grüße <&> \u2028 "\\"' })
      t.deepEqual(textsOf(full.entries), textsOf(short.entries))
      t.is(full.version, short.version)
      t.regex(short.version, /^1@\d{4}-/)
      t.false(short.isImmutable)
      t.is(short.lease, undefined)
      t.is(short.expiresAtMs, undefined)
      t.deepEqual(JSON.parse(textOf(short.json)), textsOf(short.entries))
    },
  },
  {
    title: 'values that are no strings arrive as their JSON',
    async run(t, world) {
      const name = `shop/${world.uniqueName()}`
      await world.admin.putKv2(name, {
        n: 1.5,
        yes: true,
        no: null,
        list: [1, 'a'],
        map: { a: 'b' },
      })
      const api = world.api()
      const { entries } = await api.read(
        await logIn(world, api),
        { secret: `kv2/${name}` },
        signal(),
      )
      const expected = { n: '1.5', yes: 'true', no: 'null', list: '[1,"a"]', map: '{"a":"b"}' }
      t.deepEqual(textsOf(entries), expected)
    },
  },
  {
    title: 'a pinned version stays what it was; a newer one has another version',
    async run(t, world) {
      const name = `shop/${world.uniqueName()}`
      await world.admin.putKv2(name, { a: 'first' })
      await world.admin.putKv2(name, { a: 'second' })
      const api = world.api()
      const session = await logIn(world, api)
      const pinned = await api.read(session, { secret: `kv2/${name}`, version: '1' }, signal())
      const latest = await api.read(session, { secret: `kv2/${name}` }, signal())
      t.deepEqual(textsOf(pinned.entries), { a: 'first' })
      t.true(pinned.isImmutable)
      t.deepEqual(textsOf(latest.entries), { a: 'second' })
      t.not(pinned.version, latest.version)
    },
  },
  {
    title: 'deleted, destroyed and missing are told apart',
    async run(t, world) {
      const name = `shop/${world.uniqueName()}`
      for (const a of ['1', '2', '3']) await world.admin.putKv2(name, { a })
      await world.admin.destroyKv2(name, 2)
      await world.admin.deleteKv2(name, 3)
      const api = world.api()
      const session = await logIn(world, api)
      const read = (ref: SecretRef): ReturnType<typeof refusal> => refusal(api, session, ref)
      const deleted = await read({ secret: `kv2/${name}` })
      t.is(deleted.reason, 'SecretNotFound')
      t.regex(deleted.message, /was deleted at \d{4}-\d\d-\d\dT[\d:]+Z: undelete it/)
      const destroyed = await read({ secret: `kv2/${name}`, version: '2' })
      t.is(destroyed.reason, 'SecretNotFound')
      t.true(destroyed.message.includes('was destroyed'), destroyed.message)
      const noVersion = await read({ secret: `kv2/${name}`, version: '9' })
      t.is(noVersion.reason, 'SecretNotFound')
      t.true(noVersion.message.includes('has no version 9'), noVersion.message)
      const missing = await read({ secret: `kv2/${name}x` })
      t.is(missing.reason, 'SecretNotFound')
      t.true(missing.message.includes(`"kv2/${name}x" does not exist`), missing.message)
    },
  },
  {
    title: 'a secret deleted with its history and written anew has another version',
    async run(t, world) {
      const name = `shop/${world.uniqueName()}`
      const api = world.api()
      const session = await logIn(world, api)
      await world.admin.putKv2(name, { a: 'old' })
      const old = await api.read(session, { secret: `kv2/${name}` }, signal())
      await world.admin.forgetKv2(name)
      await world.admin.putKv2(name, { a: 'new' })
      const anew = await api.read(session, { secret: `kv2/${name}` }, signal())
      t.deepEqual(textsOf(anew.entries), { a: 'new' })
      t.not(anew.version, old.version)
    },
  },
  {
    title: 'a KV version 1 secret is read; its version follows its content',
    async run(t, world) {
      const name = `shop/${world.uniqueName()}`
      const api = world.api()
      const session = await logIn(world, api)
      const read = async (): Promise<Awaited<ReturnType<VaultApi['read']>>> =>
        api.read(session, { secret: `kv1/${name}` }, signal())
      await world.admin.putKv1(name, { a: 'one', expiration: 5 })
      const [one, same] = [await read(), await read()]
      t.deepEqual(textsOf(one.entries), { a: 'one', expiration: '5' })
      t.is(one.version, same.version)
      t.is(one.lease, undefined)
      t.is(one.expiresAtMs, undefined)
      await world.admin.putKv1(name, { a: 'two' })
      t.not((await read()).version, one.version)
    },
  },
  {
    title: 'words that an engine has no use for are refused before they do harm',
    async run(t, world) {
      const name = `shop/${world.uniqueName()}`
      await world.admin.putKv1(name, { a: 'one' })
      await world.admin.putKv2(name, { a: 'one' })
      const api = world.api()
      const session = await logIn(world, api)
      const version = await refusal(api, session, { secret: `kv1/${name}`, version: '1' })
      t.is(version.reason, 'InvalidRequest')
      t.true(version.message.includes('leave version out'), version.message)
      for (const secret of [`kv1/${name}`, `kv2/${name}`]) {
        const args = await refusal(api, session, { secret, args: { a: 'overwritten' } })
        t.is(args.reason, 'InvalidRequest')
        t.true(args.message.includes('leave args out'), args.message)
        t.deepEqual(textsOf((await api.read(session, { secret }, signal())).entries), { a: 'one' })
      }
    },
  },
]

const REFUSALS: readonly ContractCase[] = [
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
      t.true(message.includes('write "kv2/data/shop/a"'), message)
      const whole = await refusal(api, session, { secret: 'kv2/data/shop/a', version: '1' })
      t.is(whole.reason, 'AccessDenied')
      t.false(whole.message.includes('kv2/data/data'), whole.message)
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
]

const ENDING: readonly ContractCase[] = [
  {
    title: 'a certificate comes whole, with its end and without a lease, and each is another one',
    async run(t, world) {
      const api = world.api()
      const session = await logIn(world, api)
      const ref = { secret: 'pki/issue/web', args: { common_name: 'web.shop', ttl: '600s' } }
      const [one, two] = [
        await api.read(session, ref, signal()),
        await api.read(session, ref, signal()),
      ]
      const {
        certificate = '',
        private_key: key = '',
        issuing_ca: issuer = '',
      } = textsOf(one.entries)
      t.true(certificate.startsWith('-----BEGIN CERTIFICATE-----\n'))
      t.true(key.startsWith('-----BEGIN '))
      t.true(issuer.startsWith('-----BEGIN CERTIFICATE-----\n'))
      const lifeMs = (one.expiresAtMs ?? 0) - Date.now()
      t.true(lifeMs > 580_000 && lifeMs < 620_000, `${lifeMs}`)
      t.is(one.lease, undefined)
      t.not(one.version, two.version)
    },
  },
  {
    title: 'a path that wants args says so, and an engine that does not like them has its say',
    async run(t, world) {
      const api = world.api()
      const session = await logIn(world, api)
      const none = await refusal(api, session, { secret: 'pki/issue/web' })
      t.true(['InvalidRequest', 'AccessDenied'].includes(none.reason), none.message)
      const wrong = await refusal(api, session, { secret: 'pki/issue/web', args: {} })
      t.is(wrong.reason, 'InvalidRequest')
      t.true(wrong.message.includes('common_name'), wrong.message)
    },
  },
  {
    title: 'a leased secret brings its lease, which can be renewed and ended by itself',
    async run(t, world) {
      const name = `shop/${world.uniqueName()}`
      await world.admin.putLeased(name, { a: 'one', ttl: '120s' })
      const api = world.api()
      const session = await logIn(world, api)
      const secret = await api.read(session, { secret: `leased/${name}` }, signal())
      t.deepEqual(textsOf(secret.entries), { a: 'one', ttl: '120s' })
      const { lease } = secret
      if (lease === undefined) throw new Error('no lease')
      t.is(lease.durationMs, 120_000)
      t.true(lease.renewable)
      t.is(String(lease.id), `[secret ${lease.id.length} B]`)
      t.is(await world.admin.livingLeases(`leased/${name}`), 1)
      const renewed = await api.renewLease(session, lease.id, 90_000, signal())
      t.true(renewed.durationMs > 80_000 && renewed.durationMs <= 120_000, `${renewed.durationMs}`)
      await api.revokeLease(session, lease.id, signal())
      await world.admin.livingLeases(`leased/${name}`)
      const gone = await failureOf(untilGone(api, session, lease.id))
      t.is(gone.reason, 'SecretNotFound')
      t.true(gone instanceof VaultError && gone.trouble === 'gone-lease', gone.message)
      t.false(gone.message.includes(textOf(lease.id)))
      await t.notThrowsAsync(api.revokeLease(session, lease.id, signal()))
    },
  },
  {
    title: 'ending a session ends its leases, and no others',
    async run(t, world) {
      const name = `shop/${world.uniqueName()}`
      await world.admin.putLeased(name, { a: 'one', ttl: '120s' })
      const api = world.api()
      const [one, two] = [await logIn(world, api), await logIn(world, api)]
      await api.read(one, { secret: `leased/${name}` }, signal())
      await api.read(one, { secret: `leased/${name}` }, signal())
      await api.read(two, { secret: `leased/${name}` }, signal())
      t.is(await world.admin.livingLeases(`leased/${name}`), 3)
      await api.revokeSelf(one, signal())
      await eventually(async () => (await world.admin.livingLeases(`leased/${name}`)) === 1)
      await t.notThrowsAsync(api.revokeSelf(one, signal()))
      await api.lookupSelf(two, signal())
      t.pass()
    },
  },
  {
    title: 'a session is renewed up to its longest life and no further',
    async run(t, world) {
      const api = world.api()
      const long = await logIn(world, api)
      const renewed = await api.renewSelf(long, 300_000, signal())
      t.true(renewed.durationMs > 290_000 && renewed.durationMs <= 600_000)
      const short = await logIn(world, api, 'short')
      const capped = await api.renewSelf(short, 600_000, signal())
      t.true(capped.durationMs <= 20_000 && capped.durationMs > 10_000, `${capped.durationMs}`)
    },
  },
  {
    title: 'a batch token says that it cannot be renewed',
    async run(t, world) {
      const api = world.api()
      const login = await api.login(world.jwt(), 'batch', signal())
      t.false(login.renewable)
      const session = { token: login.token, role: 'batch' }
      const refused = await failureOf(api.renewSelf(session, 60_000, signal()))
      t.is(refused.reason, 'InvalidRequest')
    },
  },
  {
    title: "Vault's audit log shows our id of a call, its own that we log, and the pod",
    async run(t, world) {
      const name = `shop/${world.uniqueName()}`
      await world.admin.putKv2(name, { a: 'one' })
      const api = world.api()
      const session = await logIn(world, api, 'api', { pod: 'api-7' })
      const { requestId } = await api.read(session, { secret: `kv2/${name}` }, signal())
      const call = world.calls.findLast(({ operation }) => operation === 'read')
      t.is(call?.requestId, requestId)
      t.is(call?.reason, undefined)
      t.deepEqual(await world.admin.audited(call?.callId ?? ''), { requestId, pod: 'api-7' })
    },
  },
]

/** Throws what a renewal throws once the lease has ended, for which Vault takes a moment. */
async function untilGone(api: VaultApi, session: Session, lease: SecretBytes): Promise<void> {
  await eventually(async () => {
    await api.renewLease(session, lease, 60_000, signal())
    return false
  })
}

async function eventually(holds: () => Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + 10_000
  while (!(await holds())) {
    if (performance.now() > giveUpAt) throw new Error('it did not come about within 10 s')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** What Latchkey relies on in a Vault: true of the real one and of the double. */
export const CONTRACT: readonly ContractCase[] = [...LOGINS, ...KV, ...REFUSALS, ...ENDING]

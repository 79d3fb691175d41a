import type { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import type { Session, VaultApi } from '../../../../src/daemon/sources/vault/vault-api.ts'
import { VaultError } from '../../../../src/daemon/sources/vault/vault-error.ts'
import {
  failureOf,
  logIn,
  refusal,
  signal,
  textOf,
  textsOf,
  type ContractCase,
} from './contract-world.ts'

export const ENDING: readonly ContractCase[] = [
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
        ca_chain: chain = '',
      } = textsOf(one.entries)
      t.true(certificate.startsWith('-----BEGIN CERTIFICATE-----\n'))
      t.true(key.startsWith('-----BEGIN '))
      t.true(issuer.startsWith('-----BEGIN CERTIFICATE-----\n'))
      t.is(chain, issuer, 'the list of one authority is that one, as PEM')
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
    title: 'each read makes a database user, which lives as long as its lease and its session',
    needs: 'a database',
    async run(t, world) {
      const { databaseUsers = () => Promise.resolve([]) } = world
      const api = world.api()
      const [one, two] = [await logIn(world, api), await logIn(world, api)]
      const ref = { secret: 'database/creds/web' }
      const [first, second, other] = [
        await api.read(one, ref, signal()),
        await api.read(one, ref, signal()),
        await api.read(two, ref, signal()),
      ]
      const names = [first, second, other].map(({ entries }) => textsOf(entries)['username'] ?? '')
      t.deepEqual((await databaseUsers()).toSorted(), names.toSorted())
      t.is(new Set([first, second, other].map(({ version }) => version)).size, 3)
      if (first.lease === undefined) throw new Error('no lease')
      t.is(first.lease.durationMs, 30_000)
      const renewed = await api.renewLease(one, first.lease.id, 3_600_000, signal())
      t.true(renewed.durationMs > 80_000 && renewed.durationMs <= 90_000, `${renewed.durationMs}`)
      await api.revokeLease(one, first.lease.id, signal())
      await eventually(async () => (await databaseUsers()).length === 2)
      await api.revokeSelf(one, signal())
      await eventually(async () => (await databaseUsers()).length === 1)
      t.deepEqual(await databaseUsers(), names.slice(2))
      await api.revokeSelf(two, signal())
      await eventually(async () => (await databaseUsers()).length === 0)
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

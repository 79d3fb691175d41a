import type { SecretRef } from '../../../../src/daemon/sources/vault/secret-ref.ts'
import type { VaultApi } from '../../../../src/daemon/sources/vault/vault-api.ts'
import { logIn, refusal, signal, textOf, textsOf, type ContractCase } from './contract-world.ts'

export const KV: readonly ContractCase[] = [
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

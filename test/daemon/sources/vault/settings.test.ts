import test from 'ava'
import fc from 'fast-check'
import { LatchkeyError } from '../../../../src/core/errors.ts'
import { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import { planRead } from '../../../../src/daemon/sources/vault/read-plan.ts'
import { jsonBody } from '../../../../src/daemon/sources/vault/request-body.ts'
import { checkRef, encodePath } from '../../../../src/daemon/sources/vault/secret-ref.ts'
import {
  checkSettings,
  roleOf,
  type VaultSettings,
} from '../../../../src/daemon/sources/vault/settings.ts'
import { ROOMY, settingsFor } from './double-world.ts'

function refusalOf(work: () => unknown): string {
  try {
    work()
  } catch (thrown) {
    if (thrown instanceof LatchkeyError) return `${thrown.reason}: ${thrown.message}`
    throw thrown
  }
  return 'fine'
}

const check = (address: string, changes: Partial<VaultSettings> = {}): string =>
  refusalOf(() => {
    checkSettings(settingsFor(address, changes))
  })

test('an address is https, or http on loopback alone, and holds no more than a place', (t) => {
  for (const fine of [
    'https://vault.example:8200',
    'https://proxy.example/vault/',
    'http://127.0.0.1:8200',
    'http://[::1]:8200',
    'http://localhost:8200',
  ]) {
    t.is(check(fine), 'fine', fine)
  }
  for (const wrong of [
    'http://vault.example:8200',
    'http://127.0.0.1.example',
    'http://10.0.0.1',
    'vault.example:8200',
    'ftp://vault.example',
    'https://user:pass@vault.example',
    'https://vault.example/?a=b',
    'https://vault.example/#a',
    '',
  ]) {
    t.true(check(wrong).startsWith('InvalidRequest: source "vault-test", address: '), wrong)
  }
  t.is(check('http://vault.example:8200', { allowPlainHttp: true }), 'fine')
  t.false(check('https://user:canary@vault.example').includes('canary'))
})

test('other settings that no call could be made with are named', (t) => {
  const at = 'https://vault.example'
  const auth = { method: 'jwt', mount: 'clusters/one', audience: 'vault' } as const
  t.is(check(at, { auth }), 'fine')
  for (const mount of ['', '/jwt', 'auth/jwt', 'a b', 'jwt/', '..\n']) {
    t.true(check(at, { auth: { ...auth, mount } }).includes(', auth.mount: '), mount)
  }
  t.true(check(at, { namespace: 'a\nb' }).includes(', namespace: '))
  t.true(check(at, { limits: { ...ROOMY, perSecond: 0 } }).includes(', limits.perSecond: '))
})

test('a role is fixed by the administrator, or named by the pod', (t) => {
  const open = settingsFor('https://vault.example')
  const fixed = { ...open, auth: { ...open.auth, role: 'web' } }
  t.is(roleOf(open, 'api'), 'api')
  t.is(roleOf(fixed, undefined), 'web')
  t.is(roleOf(fixed, 'web'), 'web')
  t.true(refusalOf(() => roleOf(open, undefined)).includes("name one of Vault's in the item"))
  t.true(refusalOf(() => roleOf(fixed, 'api')).includes('leave role out of the item'))
})

test('a path is plain names between slashes, and none of the house', (t) => {
  for (const fine of ['secret/shop/api', 'kv/ü/a b+c', 'a', 'database/creds/web', 'system/a']) {
    t.is(
      refusalOf(() => {
        checkRef({ secret: fine })
      }),
      'fine',
      fine,
    )
  }
  for (const wrong of [
    '',
    '/secret/a',
    'v1/secret/a',
    'secret//a',
    'secret/a/',
    'secret/../sys/seal',
    'secret/./a',
    'secret/a?version=3',
    'secret/a#b',
    'secret/a\0',
    'secret/a\nb',
    'sys/seal',
    'auth/token/lookup-self',
    'sys',
    'a'.repeat(2_000),
    'secret/\ud800',
  ]) {
    t.true(
      refusalOf(() => {
        checkRef({ secret: wrong })
      }).startsWith('InvalidRequest: '),
      wrong,
    )
  }
})

test('versions count from 1, and args are not too long', (t) => {
  for (const version of ['1', '42'])
    t.is(
      refusalOf(() => {
        checkRef({ secret: 'a/b', version })
      }),
      'fine',
    )
  for (const version of ['', '0', '01', '-1', '1.0', 'latest', '1&x=2']) {
    t.true(
      refusalOf(() => {
        checkRef({ secret: 'a/b', version })
      }).startsWith('InvalidRequest'),
    )
  }
  const args = { csr: 'x'.repeat(70_000) }
  t.true(
    refusalOf(() => {
      checkRef({ secret: 'a/b', args })
    }).includes('args'),
  )
})

test('no path leaves the place it was given, however it is encoded', (t) => {
  const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 })
  const plain = fc.string({ minLength: 1, maxLength: 40 })
  const isFine = (secret: string): boolean =>
    refusalOf(() => {
      checkRef({ secret })
    }) === 'fine'
  fc.assert(
    fc.property(fc.oneof(text, plain).filter(isFine), (secret) => {
      const url = new URL(`/v1/${encodePath(secret)}`, 'https://vault.example')
      t.is(url.search + url.hash, '')
      t.is(decodeURIComponent(url.pathname), `/v1/${secret}`)
    }),
  )
})

test('data/ is put into the path of a KV version 2 engine where it is not in it', (t) => {
  const mount = { path: 'team/kv/', type: 'kv', version: '2' }
  const pathOf = (secret: string): string => planRead({ secret }, mount).path
  t.is(pathOf('team/kv/shop/api'), 'team/kv/data/shop/api')
  t.is(pathOf('team/kv/data/shop/api'), 'team/kv/data/shop/api')
  t.is(pathOf('team/kv/metadata/shop/api'), 'team/kv/metadata/shop/api')
  // A secret of that very name.
  t.is(pathOf('team/kv/data'), 'team/kv/data/data')
  t.true(refusalOf(() => pathOf('team/kv')).includes('name one secret in it'))
  t.is(pathOf('team/kv/data/data/a'), 'team/kv/data/data/a')
  t.is(planRead({ secret: 'kv/a' }, { ...mount, path: 'kv/', version: '1' }).path, 'kv/a')
  t.is(planRead({ secret: 'kv/a' }, { ...mount, path: 'kv/', version: undefined }).path, 'kv/a')
  t.is(planRead({ secret: 'kv/a' }, undefined).path, 'kv/a')
})

test('a version goes into the query, where there are versions', (t) => {
  const mount = { path: 'kv/', type: 'kv', version: '2' }
  t.is(planRead({ secret: 'kv/a b', version: '3' }, mount).target, 'kv/data/a%20b?version=3')
  t.is(planRead({ secret: 'kv/data/a', version: '3' }, undefined).target, 'kv/data/a?version=3')
  for (const [secret, engine] of [
    ['pki/issue/web', { path: 'pki/', type: 'pki', version: undefined }],
    ['kv/metadata/a', mount],
    ['kv/a', undefined],
  ] as const) {
    t.true(refusalOf(() => planRead({ secret, version: '3' }, engine)).includes('version'))
  }
})

test('a body is the JSON of its fields, its secrets included', (t) => {
  const secret = new SecretBytes(Buffer.from('hvs.abc-_.~/'))
  const parse = (fields: Parameters<typeof jsonBody>[0]): unknown =>
    JSON.parse(jsonBody(fields).toString())
  t.deepEqual(parse({}), {})
  t.deepEqual(parse({ jwt: secret }), { jwt: 'hvs.abc-_.~/' })
  t.deepEqual(parse({ a: 'x"\n', jwt: secret, n: 5 }), { a: 'x"\n', jwt: 'hvs.abc-_.~/', n: 5 })
  t.deepEqual(parse({ one: secret, two: secret }), { one: 'hvs.abc-_.~/', two: 'hvs.abc-_.~/' })
  for (const odd of ['a"b', 'a\\b', 'a b', 'a\0', 'ü']) {
    const message = refusalOf(() => jsonBody({ jwt: new SecretBytes(Buffer.from(odd)) }))
    t.is(message, 'InvalidRequest: the jwt holds characters that none has')
  }
})

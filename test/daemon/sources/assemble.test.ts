import test from 'ava'
import fc from 'fast-check'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { MAX_VOLUME_BYTES } from '../../../src/core/limits.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import { assembleFiles } from '../../../src/daemon/sources/assemble.ts'
import type { Item } from '../../../src/daemon/sources/item.ts'
import { secretKeyOf, type SecretKey } from '../../../src/daemon/sources/secret-key.ts'
import type { Value } from '../../../src/daemon/sources/source.ts'
import { wipeValue } from '../../../src/daemon/sources/value-bytes.ts'
import { itemOf, textOf, valueOf } from './values.ts'

/** Values of the Kubernetes source by secret. */
function values(secrets: Readonly<Record<string, Value>>): ReadonlyMap<SecretKey, Value> {
  return new Map(
    Object.entries(secrets).map(([secret, value]) => [secretKeyOf(itemOf({ secret })), value]),
  )
}

function assemble(
  items: readonly Partial<Item>[],
  secrets: Readonly<Record<string, Value>>,
  fsGroup?: number,
) {
  return assembleFiles(items.map(itemOf), values(secrets), fsGroup)
}

const DB = { username: 'shop', password: 'hunter2' }

test('a whole secret becomes a file for each key', (t) => {
  const files = assemble([{}], { db: valueOf(DB) })
  t.deepEqual(
    files.map(({ path, data }) => [path, textOf(data)]),
    [
      ['username', 'shop'],
      ['password', 'hunter2'],
    ],
  )
  t.true(files.every(({ ownerUid, mode }) => ownerUid === 0 && mode === 0o644))
})

test('a key becomes the file of its path, or of its own name', (t) => {
  const items = [{ key: 'password', path: 'db/pw' }, { key: 'username' }]
  const files = assemble(items, { db: valueOf(DB) })
  t.deepEqual(
    files.map(({ path, data }) => [path, textOf(data)]),
    [
      ['db/pw', 'hunter2'],
      ['username', 'shop'],
    ],
  )
})

test('all keys may go into a folder', (t) => {
  const files = assemble([{ dir: 'a/b' }, { key: 'password' }], { db: valueOf(DB) })
  t.deepEqual(
    files.map(({ path }) => path),
    ['a/b/username', 'a/b/password', 'password'],
  )
})

test('the whole of a secret may be one file, as its source wrote it', (t) => {
  const json = SecretBytes.copyOf(Buffer.from('{"b": 1, "a": "x"}'))
  const value = { ...valueOf({}), json }
  const files = assemble([{ format: 'json', path: 'all.json', mode: 0o400 }], { db: value })
  t.deepEqual(
    files.map(({ path, data, mode }) => [path, textOf(data), mode]),
    [['all.json', '{"b": 1, "a": "x"}', 0o400]],
  )
})

test('files hold copies: wiping what was fetched leaves them as they are', (t) => {
  const value = valueOf(DB)
  const [file] = assemble([{}], { db: value })
  wipeValue(value)
  t.is(file && textOf(file.data), 'shop')
})

for (const [mode, fsGroup, final] of [
  [0o644, undefined, 0o644],
  [0o400, undefined, 0o400],
  [0o000, undefined, 0o000],
  [0o644, 2000, 0o644],
  [0o400, 2000, 0o440],
  [0o600, 2000, 0o640],
  [0o000, 2000, 0o440],
  [0o777, 2000, 0o777],
  [0o400, 0, 0o440],
] as const) {
  test(`mode ${mode.toString(8)} with fsGroup ${fsGroup ?? 'unset'} is ${final.toString(8)} in the end`, (t) => {
    const [file] = assemble([{ mode }], { db: valueOf({ a: 'x' }) }, fsGroup)
    t.is(file?.mode, final)
  })
}

test('an empty secret is an empty volume, and an empty key an empty file', (t) => {
  t.deepEqual(assemble([{}], { db: valueOf({}) }), [])
  t.is(assemble([{}], { db: valueOf({ a: '' }) })[0]?.data.length, 0)
})

test('bytes that are no text stay what they are', (t) => {
  const binary = Buffer.from([0, 255, 128, 10, 13, 0])
  const [file] = assemble([{}], { db: valueOf({ blob: binary }) })
  t.deepEqual(
    file?.data.use((bytes) => Buffer.from(bytes)),
    binary,
  )
})

test('what is optional and missing is left out', (t) => {
  const items = [
    { key: 'username' },
    { key: 'token', optional: true },
    { secret: 'x', optional: true },
  ]
  t.deepEqual(
    assemble(items, { db: valueOf(DB) }).map(({ path }) => path),
    ['username'],
  )
})

for (const [what, items, secrets, reason, message] of [
  [
    'a missing key',
    [{ key: 'token' }],
    { db: valueOf(DB) },
    'SecretNotFound',
    /^secret "db" has no key "token": add the key/,
  ],
  ['a missing secret', [{}], {}, 'SecretNotFound', /^secret "db" is not there: create it/],
  [
    'two secrets with a key of the same name',
    [{}, { secret: 'b' }],
    { db: valueOf(DB), b: valueOf(DB) },
    'InvalidRequest',
    /^volumeAttributes\.items\[0\] and items\[1\] both write "username"$/,
  ],
  [
    'a key that is also a folder',
    [{ secret: 'b', key: 'k', path: 'username/x' }, {}],
    { db: valueOf(DB), b: valueOf({ k: '' }) },
    'InvalidRequest',
    /^volumeAttributes\.items\[1\] and items\[0\] make "username" both/,
  ],
  [
    'a name that leads up',
    [{}],
    { db: valueOf({ '../x': '' }) },
    'InvalidRequest',
    /^key "\.\.\/x" of secret "db": has a segment/,
  ],
  [
    'a name of the layout',
    [{}],
    { db: valueOf({ '..data': '' }) },
    'InvalidRequest',
    /^key "\.\.data" of secret "db": /,
  ],
  [
    'a name with a folder',
    [{}],
    { db: valueOf({ 'a/b': '' }) },
    'InvalidRequest',
    /^key "a\/b" of secret "db": is no file name/,
  ],
  [
    'a name with a line break',
    [{}],
    { db: valueOf({ 'a\nb': '' }) },
    'InvalidRequest',
    /^key "a\\nb" of secret "db": contains a control/,
  ],
  [
    'a path that was not checked before',
    [{ key: 'username', path: '../x' }],
    { db: valueOf(DB) },
    'InvalidRequest',
    /^volumeAttributes\.items\[0\]\.path: /,
  ],
  [
    'too many files',
    [{}],
    { db: valueOf(Object.fromEntries(Array.from({ length: 1025 }, (_, n) => [`k${n}`, '']))) },
    'PayloadTooLarge',
    /1025 files or more, 1024 are allowed/,
  ],
  [
    'too many bytes',
    [
      { key: 'a', path: 'x' },
      { key: 'a', path: 'y' },
    ],
    { db: valueOf({ a: Buffer.alloc(MAX_VOLUME_BYTES / 2 + 1) }) },
    'PayloadTooLarge',
    /4194306 bytes or more, 4194304 are allowed/,
  ],
] as const) {
  test(`${what} is refused as ${reason}`, (t) => {
    const error = t.throws(() => assemble(items, secrets), { instanceOf: LatchkeyError, message })
    t.is(error.reason, reason)
  })
}

test('exactly the limits are fine', (t) => {
  const full = valueOf({ a: Buffer.alloc(MAX_VOLUME_BYTES) })
  t.is(assemble([{}], { db: full })[0]?.data.length, MAX_VOLUME_BYTES)
  const many = Object.fromEntries(Array.from({ length: 1024 }, (_, n) => [`k${n}`, '']))
  t.is(assemble([{}], { db: valueOf(many) }).length, 1024)
})

type Secrets = Readonly<Record<string, Readonly<Record<string, string>> | undefined>>

/** What the volume has to hold, said as plainly as can be; undefined where it has to be refused. */
function expected(items: readonly Item[], secrets: Secrets): Map<string, string> | undefined {
  const files: [string, string][] = []
  for (const { secret, key, path, optional } of items) {
    const entries = secrets[secret]
    if (entries === undefined && !optional) return undefined
    if (key === undefined) files.push(...Object.entries(entries ?? {}))
    else if (entries?.[key] !== undefined) files.push([path ?? key, entries[key]])
    else if (!optional) return undefined
  }
  const paths = files.map(([path]) => path)
  const meet = paths.some((a, i) => paths.some((b, j) => i !== j && `${b}/`.startsWith(`${a}/`)))
  return meet ? undefined : new Map(files)
}

test('any items over any secrets make the files that a plain reading expects, or none', (t) => {
  const name = fc.constantFrom('a', 'b', 'c')
  const item: fc.Arbitrary<Item> = fc
    .record({
      secret: name,
      key: fc.option(name, { nil: undefined }),
      path: fc.option(fc.constantFrom('a', 'x', 'x/y', 'x/y/z', 'a/b', 'xy'), { nil: undefined }),
      optional: fc.boolean(),
    })
    .map(({ path, ...rest }) =>
      itemOf({ ...rest, path: rest.key === undefined ? undefined : path }),
    )
  const secrets: fc.Arbitrary<Secrets> = fc.dictionary(
    name,
    fc.dictionary(name, fc.string({ maxLength: 4 }), { maxKeys: 3 }),
    { maxKeys: 3 },
  )
  const seen = { made: 0, refused: 0 }
  fc.assert(
    fc.property(fc.array(item, { maxLength: 4 }), secrets, (items, from) => {
      const oracle = expected(items, from)
      const given = Object.entries(from).map(([secret, entries]) => [
        secret,
        valueOf(entries ?? {}),
      ])
      const work = () => assemble(items, Object.fromEntries(given) as Record<string, Value>)
      if (oracle === undefined) {
        seen.refused += 1
        t.throws(work, { instanceOf: LatchkeyError })
        return
      }
      seen.made += 1
      t.deepEqual(new Map(work().map(({ path, data }) => [path, textOf(data)])), oracle)
    }),
    { numRuns: 1_000 },
  )
  t.true(seen.made > 50 && seen.refused > 50, JSON.stringify(seen))
})

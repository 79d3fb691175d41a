import test from 'ava'
import fc from 'fast-check'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { KUBERNETES_GRAMMAR } from '../../../src/daemon/sources/grammar.ts'
import { parseItems } from '../../../src/daemon/sources/parse-items.ts'
import { VAULT_GRAMMAR } from '../../../src/daemon/sources/vault/grammar.ts'
import { itemOf } from './values.ts'

const SOURCES = new Map([
  ['kubernetes', KUBERNETES_GRAMMAR],
  ['vault-prod', VAULT_GRAMMAR],
])

function parse(attributes: Readonly<Record<string, string>>) {
  return parseItems(new Map(Object.entries(attributes)), SOURCES)
}

test('secret alone takes every key of that Secret', (t) => {
  t.deepEqual(parse({ secret: 'db' }), [itemOf()])
})

test('items of a Vault have words of their own', (t) => {
  const items = `
    - { from: vault-prod, secret: kv/shop/api, key: token, version: 3 }
    - { from: vault-prod, secret: kv/shop/api, dir: all, role: shop }
    - { from: vault-prod, secret: pki/issue/web, path: cert.json, format: json, args: { common_name: a.example, ttl: 24h, n: 1, ok: true } }
  `
  const [from, secret] = ['vault-prod', 'kv/shop/api']
  t.deepEqual(parse({ items }), [
    itemOf({ from, secret, key: 'token', version: '3' }),
    itemOf({ from, secret, dir: 'all', role: 'shop' }),
    itemOf({
      from,
      secret: 'pki/issue/web',
      path: 'cert.json',
      format: 'json',
      args: { common_name: 'a.example', ttl: '24h', n: 1, ok: true },
    }),
  ])
})

test('all entries of a Secret may go into a folder, and into two', (t) => {
  t.deepEqual(parse({ items: '[{ secret: db, dir: a/b }, { secret: db, dir: c }]' }), [
    itemOf({ dir: 'a/b' }),
    itemOf({ dir: 'c' }),
  ])
})

test('a list fills in what is not said', (t) => {
  const items = `
    - { secret: db, key: password, path: db/password, mode: "0400" }
    - secret: feature-flags # may come later
      optional: true
    - { from: vault-prod, secret: api/v2, key: a field }
  `
  t.deepEqual(parse({ items }), [
    itemOf({ key: 'password', path: 'db/password', mode: 0o400 }),
    itemOf({ secret: 'feature-flags', optional: true }),
    itemOf({ from: 'vault-prod', secret: 'api/v2', key: 'a field' }),
  ])
})

test('the same key may become several files', (t) => {
  const items = '[{ secret: a, key: k, path: x }, { secret: a, key: k, path: y }]'
  t.deepEqual(
    parse({ items }).map(({ path }) => path),
    ['x', 'y'],
  )
})

for (const [mode, bits] of [
  ['0400', 0o400],
  ['400', 0o400],
  ['0644', 0o644],
  ['0777', 0o777],
  ['0000', 0],
  ['007', 0o007],
] as const) {
  test(`mode "${mode}" is 0o${bits.toString(8)}`, (t) => {
    const [item] = parse({ items: `[{ secret: db, key: k, mode: "${mode}" }]` })
    t.is(item?.mode, bits)
  })
}

for (const [refresh, refreshMs] of [
  ['1s', 1_000],
  ['5m', 300_000],
  ['1h30m', 5_400_000],
  ['24h', 86_400_000],
] as const) {
  test(`refresh: ${refresh} is ${refreshMs} ms, in an item and beside secret`, (t) => {
    t.deepEqual(parse({ items: `[{ secret: db, refresh: ${refresh} }]` }), [itemOf({ refreshMs })])
    t.deepEqual(parse({ secret: 'db', refresh }), [itemOf({ refreshMs })])
  })
}

for (const [what, words, lastForMs] of [
  ['an hour', {}, 3_600_000],
  ['a minute', { maxAge: '1m' }, 60_000],
  ['a day', { maxAge: '24h' }, 86_400_000],
] as const) {
  test(`onOutage: serve-last takes what is ${what} old, in an item and beside secret`, (t) => {
    const item = { secret: 'db', onOutage: 'serve-last', ...words }
    t.deepEqual(parse({ items: JSON.stringify([item]) }), [itemOf({ lastForMs })])
    t.deepEqual(parse(item), [itemOf({ lastForMs })])
  })
}

test('items of one secret may name the same age in two ways, those of two secrets differ', (t) => {
  const items = `
    - { secret: a, key: x, onOutage: serve-last }
    - { secret: b, key: y }
    - { secret: a, key: z, onOutage: serve-last, maxAge: 60m }
  `
  t.deepEqual(
    parse({ items }).map(({ lastForMs }) => lastForMs),
    [3_600_000, undefined, 3_600_000],
  )
})

const AT = 'volumeAttributes.items'

/** What is written, and how the refusal of it begins. */
const REFUSED: readonly (readonly [string, Readonly<Record<string, string>>, string])[] = [
  ['nothing at all', {}, 'volumeAttributes: needs secret'],
  ['both ways', { secret: 'a', items: '[]' }, 'volumeAttributes: has both secret and items'],
  ['an empty secret', { secret: '' }, 'volumeAttributes.secret: is empty'],
  ['a secret of another namespace', { secret: 'prod/db' }, 'volumeAttributes.secret: "prod/db" is'],
  ['a way up', { secret: '../db' }, 'volumeAttributes.secret: "../db" is not the name'],
  ['a URL', { secret: 'db?watch=1' }, 'volumeAttributes.secret: "db?watch=1" is not'],
  ['a trailing newline', { secret: 'db\n' }, 'volumeAttributes.secret: "db\\n" is not the name'],
  ['upper case', { secret: 'Db' }, 'volumeAttributes.secret: "Db" is not the name'],
  ['254 letters', { secret: 'x'.repeat(254) }, 'volumeAttributes.secret: "xxxx'],
  [
    'a misspelt attribute',
    { sceret: 'a' },
    'volumeAttributes: unknown word "sceret", did you mean "secret"?',
  ],
  [
    'a strange attribute',
    { namespace: 'a' },
    'volumeAttributes: unknown word "namespace", known are secret, refresh, onOutage, maxAge, items',
  ],
  [
    'an attribute with a line of its own',
    { 'a\nb\u202e': '' },
    'volumeAttributes: unknown word "a\\nb\\u202e"',
  ],
  ['an inherited name', { constructor: 'a' }, 'volumeAttributes: unknown word "constructor"'],
  [
    'an attribute of a later version',
    { bundle: 'web' },
    'volumeAttributes: this version does not know "bundle" yet',
  ],
  ...['fail', 'true', 'servelast', '""', 'null', '[serve-last]'].map(
    (word) =>
      [
        `onOutage: ${word}`,
        { items: `[{ secret: a }, { secret: b, onOutage: ${word} }]` },
        `${AT}[1].onOutage: must be serve-last, or be left out`,
      ] as const,
  ),
  ...['59s', '24h1s', '60', 'long', '""'].map(
    (age) =>
      [
        `maxAge: ${age}`,
        { items: `[{ secret: a, onOutage: serve-last, maxAge: ${age} }]` },
        `${AT}[0].maxAge: must be a duration with its unit, from 1m to 24h, such as 1h`,
      ] as const,
  ),
  [
    'an age without a word of what it is for',
    { items: '[{ secret: a, maxAge: 1h }]' },
    `${AT}[0].maxAge: needs onOutage: serve-last beside it`,
  ],
  [
    'an age beside secret without a word of what it is for',
    { secret: 'a', maxAge: '1h' },
    'volumeAttributes.maxAge: needs onOutage: serve-last beside it',
  ],
  [
    'a secret that is served on and is not',
    {
      items: '[{ secret: a, key: x }, { secret: b }, { secret: a, key: y, onOutage: serve-last }]',
    },
    `${AT}[0] and items[2]: name the same secret "a"; onOutage and maxAge must be the same`,
  ],
  [
    'a secret of two ages',
    {
      items:
        '[{ secret: a, key: x, onOutage: serve-last, maxAge: 1m }, { secret: a, key: y, onOutage: serve-last }]',
    },
    `${AT}[0] and items[1]: name the same secret "a"`,
  ],
  ['an interval alone', { refresh: '5m' }, 'volumeAttributes: needs secret'],
  [
    'an interval beside a list',
    { items: '[{ secret: a }]', refresh: '5m' },
    'volumeAttributes: refresh belongs into items',
  ],
  [
    'an interval of nothing beside secret',
    { secret: 'a', refresh: '' },
    'volumeAttributes.refresh: must be a duration with its unit, from 1s to 24h, such as 5m',
  ],
  ...['300', '999ms', '0s', '24h1s', '5 m', '-5m', 'soon', '[5m]', '', '1e9h'].map(
    (refresh) =>
      [
        `an interval of ${JSON.stringify(refresh)}`,
        { items: `[{ secret: a }, { secret: b }, { secret: c, refresh: ${refresh} }]` },
        `${AT}[2].refresh: must be a duration with its unit, from 1s to 24h, such as 5m`,
      ] as const,
  ),
  [
    'an item’s word beside secret',
    { secret: 'a', optional: 'true' },
    'volumeAttributes: optional belongs into items',
  ],
  ['an empty list', { items: '[]' }, `${AT}: is an empty list`],
  ['an empty text', { items: '' }, `${AT}: must be a YAML list`],
  ['a map', { items: '{ secret: db }' }, `${AT}: must be a YAML list`],
  ['a word', { items: 'db' }, `${AT}: must be a YAML list`],
  ['a list of words', { items: '[db]' }, `${AT}[0]: must be a map`],
  ['a list of lists', { items: '[[db]]' }, `${AT}[0]: must be a map`],
  ['a list of nothing', { items: '- ' }, `${AT}[0]: must be a map`],
  ...['version', 'role', 'args', 'format'].map(
    (word) =>
      [
        `${word} of a Kubernetes Secret`,
        { items: `[{ secret: a, ${word}: x }]` },
        `${AT}[0].${word}: means nothing to the source "kubernetes"`,
      ] as const,
  ),
  [
    'a folder for one key',
    { items: '[{ secret: a, key: k, dir: d }]' },
    `${AT}[0].dir: is for all entries`,
  ],
  [
    'a folder that leads up',
    { items: '[{ secret: a, dir: ../d }]' },
    `${AT}[0].dir: has a segment`,
  ],
  [
    'the whole without a path',
    { items: '[{ from: vault-prod, secret: a/b, format: json }]' },
    `${AT}[0].format: needs path beside it`,
  ],
  [
    'the whole of one key',
    { items: '[{ from: vault-prod, secret: a/b, key: k, path: p, format: json }]' },
    `${AT}[0].format: needs path beside it, and neither key nor dir`,
  ],
  [
    'another format',
    { items: '[{ from: vault-prod, secret: a/b, path: p, format: env }]' },
    `${AT}[0].format: must be json`,
  ],
  [
    'arguments that are a list',
    { items: '[{ from: vault-prod, secret: a/b, args: [x] }]' },
    `${AT}[0].args: must be a map`,
  ],
  [
    'arguments within arguments',
    { items: '[{ from: vault-prod, secret: a/b, args: { x: { y: z } } }]' },
    `${AT}[0].args: may hold words with a text`,
  ],
  [
    'an argument twice',
    { items: '[{ from: vault-prod, secret: a/b, args: { x: 1, x: 2 } }]' },
    `${AT}[0].args: has a word twice`,
  ],
  [
    'a path in a Vault that leads up',
    { items: '[{ from: vault-prod, secret: a/../b }]' },
    `${AT}[0].secret: "a/../b" is no path in a Vault: each part`,
  ],
  [
    'what is Vault’s own',
    { items: '[{ from: vault-prod, secret: sys/policies }]' },
    `${AT}[0].secret: "sys/policies" is no path in a Vault: what lies under sys/`,
  ],
  [
    'one secret twice into one folder',
    { items: '[{ secret: a, dir: d }, { secret: a, dir: d }]' },
    `${AT}[0] and items[1]: both take all of secret "a"`,
  ],
  ['an item of nothing', { items: '[{}]' }, `${AT}[0].secret: is missing`],
  ['257 items', { items: '- { secret: db }\n'.repeat(257) }, `${AT}: has more than 256 items`],
  [
    'an item without a secret',
    { items: '[{ secret: a }, { key: k }]' },
    `${AT}[1].secret: is missing`,
  ],
  ['a secret without a name', { items: '- secret:' }, `${AT}[0].secret: is empty`],
  ['a number as a secret', { items: '[{ secret: 42 }]' }, `${AT}[0].secret: must be in quotes`],
  [
    'a list as a secret',
    { items: '[{ secret: [a, b] }]' },
    `${AT}[0].secret: must be a word, not a list`,
  ],
  [
    'a misspelt word',
    { items: '[{ secret: a, ky: b }]' },
    `${AT}[0]: unknown word "ky", did you mean "key"?`,
  ],
  [
    'a prototype',
    { items: '[{ secret: a, __proto__: { key: b } }]' },
    `${AT}[0]: unknown word "__proto__"`,
  ],
  ['a merge', { items: '[{ secret: a, <<: { key: b } }]' }, `${AT}[0]: unknown word "<<"`],
  ['a word twice', { items: '[{ secret: a, secret: b }]' }, `${AT}[0]: has "secret" twice`],
  [
    'a word twice, once in quotes',
    { items: '[{ secret: a, "secret": b }]' },
    `${AT}[0]: has "secret" twice`,
  ],
  ...['expand', 'owner'].map(
    (word) =>
      [
        `the later word ${word}`,
        { items: `[{ secret: a, ${word}: x }]` },
        `${AT}[0]: this version does not know "${word}" yet`,
      ] as const,
  ),
  [
    'a namespace',
    { items: '[{ secret: a, namespace: b }]' },
    `${AT}[0]: unknown word "namespace", known are from, `,
  ],
  [
    'an undeclared source',
    { items: '[{ from: vault, secret: a }]' },
    `${AT}[0].from: must be one of the declared sources: kubernetes, vault-prod`,
  ],
  ['an empty source', { items: '[{ from: "", secret: a }]' }, `${AT}[0].from: must be one of`],
  [
    'a key with a slash',
    { items: '[{ secret: a, key: b/c }]' },
    `${AT}[0].key: "b/c" is not a key`,
  ],
  ['a key that leads up', { items: '[{ secret: a, key: .. }]' }, `${AT}[0].key: ".." is not a key`],
  [
    'a key like the layout',
    { items: '[{ secret: a, key: ..data }]' },
    `${AT}[0].key: "..data" is not a key`,
  ],
  ['a key of a dot', { items: '[{ secret: a, key: . }]' }, `${AT}[0].key: "." is not a key`],
  [
    'a key of 254 letters',
    { items: `[{ secret: a, key: ${'k'.repeat(254)} }]` },
    `${AT}[0].key: "kkkk`,
  ],
  ['a number as a key', { items: '[{ secret: a, key: 1 }]' }, `${AT}[0].key: must be in quotes`],
  ['an empty key', { items: '[{ secret: a, key: "" }]' }, `${AT}[0].key: is empty`],
  [
    'a path without key',
    { items: '[{ secret: a, path: b }]' },
    `${AT}[0].path: needs key beside it`,
  ],
  [
    'a path that leads up',
    { items: '[{ secret: a }, { secret: b }, { secret: c, key: k, path: a/../../x }]' },
    `${AT}[2].path: has a segment`,
  ],
  [
    'an absolute path',
    { items: '[{ secret: a, key: k, path: /etc/passwd }]' },
    `${AT}[0].path: must be relative`,
  ],
  [
    'a path with a NUL',
    { items: '[{ secret: a, key: k, path: "a\\0b" }]' },
    `${AT}[0].path: contains a control`,
  ],
  [
    'a path into the layout',
    { items: '[{ secret: a, key: k, path: ..data/x }]' },
    `${AT}[0].path: has a segment`,
  ],
  ['an empty path', { items: '[{ secret: a, key: k, path: "" }]' }, `${AT}[0].path: is empty`],
  [
    'a number as a path',
    { items: '[{ secret: a, key: k, path: 1.5 }]' },
    `${AT}[0].path: must be in quotes`,
  ],
  [
    'a mode as a number',
    { items: '[{ secret: a, mode: 0400 }]' },
    `${AT}[0].mode: must be in quotes`,
  ],
  [
    'a mode as an octal number',
    { items: '[{ secret: a, mode: 0o400 }]' },
    `${AT}[0].mode: must be in quotes`,
  ],
  [
    'a setuid mode',
    { items: '[{ secret: a, mode: "4755" }]' },
    `${AT}[0].mode: must be an octal number`,
  ],
  ['a sticky mode', { items: '[{ secret: a, mode: "01777" }]' }, `${AT}[0].mode: must be an octal`],
  [
    'a decimal digit in a mode',
    { items: '[{ secret: a, mode: "0800" }]' },
    `${AT}[0].mode: must be an octal`,
  ],
  ['a symbolic mode', { items: '[{ secret: a, mode: "u=r" }]' }, `${AT}[0].mode: must be an octal`],
  [
    'a negative mode',
    { items: '[{ secret: a, mode: "-400" }]' },
    `${AT}[0].mode: must be an octal`,
  ],
  ['an empty mode', { items: '[{ secret: a, mode: }]' }, `${AT}[0].mode: must be an octal`],
  [
    'optional in quotes',
    { items: '[{ secret: a, optional: "true" }]' },
    `${AT}[0].optional: must be true or false`,
  ],
  [
    'optional: yes',
    { items: '[{ secret: a, optional: yes }]' },
    `${AT}[0].optional: must be true or false`,
  ],
  [
    'the same path twice',
    { items: '[{ secret: a, key: k, path: x }, { secret: b, key: k, path: x }]' },
    `${AT}[0] and items[1] both write "x"`,
  ],
  [
    'a path and a key of its name',
    { items: '[{ secret: a, key: k, path: x }, { secret: b, key: x }]' },
    `${AT}[0] and items[1] both write "x"`,
  ],
  [
    'a file that is a folder as well',
    {
      items:
        '[{ secret: a, key: k, path: x/y/z }, { secret: b }, { secret: b, key: k, path: x/y }]',
    },
    `${AT}[2] and items[0] make "x/y" both a file and a folder`,
  ],
  [
    'all of a secret twice',
    { items: '[{ secret: a }, { secret: b }, { secret: a, mode: "0400" }]' },
    `${AT}[0] and items[2]: both take all of secret "a"`,
  ],
]

for (const [what, attributes, message] of REFUSED) {
  test(`${what} is refused, naming the field`, (t) => {
    const error = t.throws(() => parse(attributes), { instanceOf: LatchkeyError })
    t.is(error.reason, 'InvalidRequest')
    t.is(error.message.slice(0, message.length), message)
    t.notRegex(error.message, /[^\x20-\x7e]/, 'one line of plain characters')
  })
}

test('a default source that is not declared is refused like any other', (t) => {
  const only = (attributes: Readonly<Record<string, string>>) =>
    parseItems(new Map(Object.entries(attributes)), new Map([['vault-prod', KUBERNETES_GRAMMAR]]))
  t.throws(() => only({ secret: 'db' }), {
    message: 'volumeAttributes.from: must be one of the declared sources: vault-prod',
  })
  t.throws(() => only({ items: '[{ secret: db }]' }), { message: /items\[0\]\.from: must be one/ })
})

test('whatever is written, it is read or refused, never half of it', (t) => {
  const word = fc.constantFrom('from', 'key', 'path', 'mode', 'optional', 'kye', '__proto__')
  const value = fc.oneof(
    fc.constantFrom(
      'kubernetes',
      'db',
      'a/b',
      '../x',
      '"0400"',
      'true',
      '',
      '[]',
      '~',
      '*a',
      '&a b',
      '!x y',
    ),
    fc.string({ maxLength: 8 }),
  )
  const item = fc
    .uniqueArray(fc.tuple(word, value), { maxLength: 3, selector: ([name]) => name })
    .map((pairs) => [['secret', 'db'], ...pairs].map(([name, said]) => `${name}: ${said}`))
    .map((pairs) => `{ ${pairs.join(', ')} }`)
  const list = fc.oneof(
    fc.array(item, { maxLength: 4 }).map((items) => items.map((one) => `- ${one}\n`).join('')),
    fc.string({ maxLength: 60 }),
  )
  let read = 0
  fc.assert(
    fc.property(list, (items) => {
      try {
        const parsed = parse({ items })
        read += 1
        return parsed.every(({ from, mode }) => SOURCES.has(from) && mode <= 0o777)
      } catch (thrown) {
        return (
          thrown instanceof LatchkeyError &&
          thrown.reason === 'InvalidRequest' &&
          thrown.message.startsWith('volumeAttributes')
        )
      }
    }),
    { numRuns: 1_000 },
  )
  t.true(read > 0, 'some of them are fine')
})

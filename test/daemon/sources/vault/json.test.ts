import test from 'ava'
import fc from 'fast-check'
import {
  isTrue,
  membersOf,
  numberOf,
  secretOf,
  textOf,
  textsOf,
} from '../../../../src/daemon/sources/vault/json-value.ts'
import { JsonError, walkJson } from '../../../../src/daemon/sources/vault/json-walk.ts'

const read = (text: Buffer): ReadonlyMap<string, Buffer> =>
  new Map(
    [...membersOf(text, walkJson(text))].map(([name, span]) => [
      name,
      secretOf(text, span).use((bytes) => Buffer.from(bytes)),
    ]),
  )

/** What JSON.parse makes of it, in our terms. */
function expected(text: string): ReadonlyMap<string, Buffer> {
  const parsed = JSON.parse(text) as Record<string, unknown>
  return new Map(
    Object.entries(parsed).map(([name, value]) => [
      Buffer.from(name).toString(),
      Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)),
    ]),
  )
}

const sorted = (map: ReadonlyMap<string, Buffer>): readonly [string, string][] =>
  [...map].map(([name, bytes]) => [name, bytes.toString('hex')] as [string, string]).toSorted()

// JSON.stringify escapes little; this writes any character in one of the ways that JSON knows.
const escaped = fc
  .array(fc.tuple(fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }), fc.boolean()))
  .map((pieces) =>
    pieces
      .map(([character, isEscaped]) =>
        isEscaped
          ? [...Array(character.length).keys()]
              .map((at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`)
              .join('')
          : JSON.stringify(character).slice(1, -1),
      )
      .join(''),
  )

test('any object reads as JSON.parse reads it', (t) => {
  const object = fc.dictionary(
    fc.string({ unit: 'binary' }).filter((name) => name.isWellFormed() && name !== '__proto__'),
    fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' }),
  )
  fc.assert(
    fc.property(object, (value) => {
      const text = JSON.stringify(value)
      t.deepEqual(sorted(read(Buffer.from(text))), sorted(expected(text)))
    }),
  )
})

test('every way to write a character decodes to the same bytes, lone surrogates included', (t) => {
  fc.assert(
    fc.property(escaped, (content) => {
      const text = `{"a":"${content}"}`
      t.deepEqual(sorted(read(Buffer.from(text))), sorted(expected(text)))
    }),
  )
  const units = fc.array(fc.integer({ min: 0xd7fe, max: 0xe001 }), { maxLength: 6 })
  fc.assert(
    fc.property(units, (list) => {
      const text = `{"a":"${list.map((unit) => `\\u${unit.toString(16)}`).join('')}"}`
      t.deepEqual(sorted(read(Buffer.from(text))), sorted(expected(text)))
    }),
  )
})

test('a text is refused exactly where JSON.parse refuses it', (t) => {
  const isJson = (text: string): boolean => {
    try {
      JSON.parse(text)
      return true
    } catch {
      return false
    }
  }
  const walks = (text: string): boolean => {
    try {
      walkJson(Buffer.from(text))
      return true
    } catch (thrown) {
      t.true(thrown instanceof JsonError)
      return false
    }
  }
  const piece = fc.constantFrom(
    ...['{', '}', '[', ']', ',', ':', '"', '"a"', '\\', '\\u00', '\\n', '0', '1', '-', '+', '.'],
    ...['e', 'E', 'true', 'false', 'null', ' ', '\n', '\t', '\u00a0', '\0', '12', '0.5', '1e3'],
  )
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 9 }).map((pieces) => pieces.join('')),
      (text) => walks(text) === isJson(text),
    ),
    { numRuns: 3_000 },
  )
  // Well-formed texts with one piece put in somewhere.
  fc.assert(
    fc.property(fc.json({ maxDepth: 3 }), piece, fc.nat(), (json, extra, place) => {
      const at = place % (json.length + 1)
      const text = json.slice(0, at) + extra + json.slice(at)
      return walks(text) === isJson(text)
    }),
    { numRuns: 1_000 },
  )
})

test('bytes that are no UTF-8 are refused, and a byte order mark too', (t) => {
  t.throws(() => walkJson(Buffer.from([0x22, 0xc3, 0x28, 0x22])), { instanceOf: JsonError })
  t.throws(() => walkJson(Buffer.from('\ufeff{}')), { instanceOf: JsonError })
  t.throws(() => walkJson(Buffer.alloc(0)), { instanceOf: JsonError })
})

test('an error names a place and nothing that stands there', (t) => {
  const error = t.throws(() => walkJson(Buffer.from('{"canary-1": canary-2}')))
  t.is(error.message, 'no value at byte 13')
})

test('a name that comes twice is refused, however it is written', (t) => {
  const twice = Buffer.from('{"data":1,"\\u0064ata":2}')
  t.throws(() => membersOf(twice, walkJson(twice)), { message: /second time/ })
})

test('names that mean something to JavaScript are names like any other', (t) => {
  const text = Buffer.from('{"__proto__":{"a":1},"constructor":"b","toString":"c"}')
  t.deepEqual([...read(text).keys()], ['__proto__', 'constructor', 'toString'])
})

test('too deep a nesting and too many names are refused', (t) => {
  const deep = (depth: number): Buffer => Buffer.from('['.repeat(depth) + ']'.repeat(depth))
  t.notThrows(() => walkJson(deep(60)))
  t.throws(() => walkJson(deep(100)), { message: /too deep/ })
  t.throws(() => walkJson(deep(1_000_000)), { message: /too deep/ })
  const names = (count: number): Buffer =>
    Buffer.from(`{${[...Array(count).keys()].map((name) => `"${name}":0`).join()}}`)
  t.is(membersOf(names(4096), walkJson(names(4096))).size, 4096)
  t.throws(() => membersOf(names(4097), walkJson(names(4097))), { message: /too many/ })
})

test('what is no string keeps the text that it had', (t) => {
  const text = Buffer.from('{"a":1.50,"b":[1, "x"],"c":null,"d":true,"e":{"f" : "\\u003c"}}')
  t.deepEqual(
    [...read(text)].map(([, bytes]) => bytes.toString()),
    ['1.50', '[1, "x"]', 'null', 'true', '{"f" : "\\u003c"}'],
  )
})

const certificate = (body: string): string =>
  `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----`

test('a list of certificates is one PEM file, whoever escaped what in it', (t) => {
  const [one, two] = [certificate('b25l'), certificate('dHdv')]
  const text = Buffer.from(JSON.stringify({ chain: [one, two], short: [one] }))
  const spaced = `{ "chain" : [ ${JSON.stringify(one)} ,\n${JSON.stringify(two)
    .replaceAll('/', '\\/')
    .replaceAll('=', '\\u003d')} ] , "short":[${JSON.stringify(one)}\t] }`
  for (const answer of [text, Buffer.from(spaced)]) {
    t.deepEqual(
      [...read(answer)].map(([name, bytes]) => [name, bytes.toString()]),
      [
        ['chain', `${one}\n${two}`],
        ['short', one],
      ],
    )
  }
})

test('a list of certificates that holds anything else, or nothing, stays JSON', (t) => {
  const one = certificate('b25l')
  for (const list of [
    [],
    [one, ''],
    ['', one],
    [one, 1],
    [one, null],
    [one, [one]],
    [{ a: one }],
    [one, ` ${one}`],
    [one, '-----BEGIN RSA PRIVATE KEY-----'],
    ['-----BEGIN CERTIFICATE'],
  ]) {
    const json = JSON.stringify(list)
    t.is(
      read(Buffer.from(`{"a":${json}}`))
        .get('a')
        ?.toString(),
      json,
    )
  }
})

test('a value read is a copy: zeroing the text leaves it as it is', (t) => {
  const chain = [certificate('b25l'), certificate('dHdv')]
  const text = Buffer.from(`{"a":"one","b":"t\\u0077o","c":3,"d":${JSON.stringify(chain)}}`)
  const values = [...membersOf(text, walkJson(text)).values()].map((span) => secretOf(text, span))
  text.fill(0)
  t.deepEqual(
    values.map((value) => value.use((bytes) => bytes.toString())),
    ['one', 'two', '3', chain.join('\n')],
  )
})

test('numbers, truth and lists of words are read only where they are such', (t) => {
  const text = Buffer.from('{"n":12,"s":"12","t":true,"f":false,"l":["a",1,"b","c"]}')
  const members = membersOf(text, walkJson(text))
  t.is(numberOf(text, members.get('n')), 12)
  t.is(numberOf(text, members.get('s')), undefined)
  t.is(textOf(text, members.get('n')), undefined)
  t.is(textOf(text, members.get('missing')), undefined)
  t.true(isTrue(text, members.get('t')))
  t.false(isTrue(text, members.get('f')))
  t.false(isTrue(text, members.get('s')))
  t.deepEqual(textsOf(text, members.get('l'), 2), ['a', 'b'])
  t.deepEqual(textsOf(text, members.get('s'), 2), [])
  t.is(membersOf(text, members.get('l')).size, 0)
})

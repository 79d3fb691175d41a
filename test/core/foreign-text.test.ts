import test from 'ava'
import fc from 'fast-check'
import { SecretBytes } from '../../src/core/secret-bytes.ts'
import { cleaned, quoted } from '../../src/core/foreign-text.ts'

const ONE_PLAIN_LINE = /^[\x20-\x7e]*$/

test('whatever somebody chose, quoted it is one short line of plain characters', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      const shown = quoted(text)
      return ONE_PLAIN_LINE.test(shown) && shown.startsWith('"') && shown.length < 64 * 6 + 6
    }),
  )
  t.is(quoted('api-0'), '"api-0"')
  t.is(quoted('a"b\\c'), '"a\\"b\\\\c"')
})

test('whatever somebody wrote, cleaned it is one line of plain characters, bounded', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
      const shown = cleaned(text, 50, [])
      return ONE_PLAIN_LINE.test(shown) && shown.length <= 53
    }),
  )
  t.is(cleaned(' a\r\n\tb ', 50, []), 'a b')
})

test('tokens are struck out wherever they stand, known ones and what looks like one', (t) => {
  const jwt = `eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.${'a-_9'.repeat(100)}.c2lnbmF0dXJl`
  const known = new SecretBytes(Buffer.from('opaque-token'))
  const text = `Bearer ${jwt}, "opaque-token"opaque-token and ${jwt.slice(0, 200)}`
  t.is(cleaned(text, 500, [known]), 'Bearer [token], "[token]"[token] and [token]')
})

test('a token at the edge of the bound is not cut in two, but struck out', (t) => {
  const known = new SecretBytes(Buffer.from('opaque-token'))
  t.false(cleaned(`${'x'.repeat(40)}opaque-token`, 48, [known]).includes('opaque'))
})

test('an empty token strikes out nothing', (t) => {
  t.is(cleaned('no way', 50, [new SecretBytes(Buffer.alloc(0))]), 'no way')
})

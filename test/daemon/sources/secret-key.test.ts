import test from 'ava'
import fc from 'fast-check'
import { askOf, readAsk, secretKeyOf } from '../../../src/daemon/sources/secret-key.ts'
import { itemOf } from './values.ts'

const WORD = fc.option(fc.string({ maxLength: 12 }), { nil: undefined })
const ARGS = fc.option(
  fc.dictionary(fc.string({ minLength: 1, maxLength: 6 }), fc.oneof(fc.string(), fc.boolean())),
  { nil: undefined },
)

test('a source reads from what it is asked what the item says', (t) => {
  fc.assert(
    fc.property(fc.string(), WORD, WORD, ARGS, (secret, version, role, args) => {
      const asked = {
        secret,
        version,
        role,
        args: args && Object.fromEntries(Object.entries(args)),
      }
      t.deepEqual(readAsk(askOf(asked)), asked)
    }),
  )
})

test('a plain secret is asked for by its name', (t) => {
  t.is(askOf(itemOf({ secret: 'db' })), 'db')
  t.is(secretKeyOf(itemOf({ secret: 'db' })), 'kubernetes\ndb')
})

test('a name that looks like more is not taken for more', (t) => {
  const secret = '{"secret":"other"}'
  t.is(readAsk(askOf(itemOf({ secret }))).secret, secret)
})

test('another version, role or argument is another secret; their order makes none', (t) => {
  const args = { a: '1', b: true }
  const asks = [{}, { version: '1' }, { role: '1' }, { args }, { args: { a: '1' } }].map((words) =>
    secretKeyOf(itemOf(words)),
  )
  t.is(new Set(asks).size, asks.length)
  t.is(askOf(itemOf({ args })), askOf(itemOf({ args: { b: true, a: '1' } })))
})

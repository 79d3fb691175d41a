import { inspect } from 'node:util'
import test from 'ava'
import { SecretBytes } from '../../src/core/secret-bytes.ts'

const CANARY = 'canary-9f3c'

test('a secret shows its length and nothing else, however it is printed', (t) => {
  const secret = new SecretBytes(Buffer.from(CANARY))
  const prints = [
    String(secret),
    JSON.stringify({ secret }),
    inspect({ deep: { secret } }, { depth: 9, showHidden: true }),
    secret.toString(),
    Object.values(secret).join(),
  ]
  for (const print of prints) t.false(print.includes(CANARY), print)
  t.is(String(secret), '[secret 11 B]')
})

test('wiping zeroes the bytes that were handed over', (t) => {
  const bytes = Buffer.from(CANARY)
  new SecretBytes(bytes).wipe()
  t.true(bytes.every((byte) => byte === 0))
})

test('a copy does not share memory with its original', (t) => {
  const bytes = Buffer.from(CANARY)
  const copy = SecretBytes.copyOf(bytes)
  bytes.fill(0)
  t.is(
    copy.use((own) => own.toString()),
    CANARY,
  )
})

test('secrets are equal by their bytes', (t) => {
  const one = new SecretBytes(Buffer.from('a'))
  t.true(one.equals(new SecretBytes(Buffer.from('a'))))
  t.false(one.equals(new SecretBytes(Buffer.from('b'))))
  t.false(one.equals(new SecretBytes(Buffer.from('ab'))))
})

// V8 keeps small ones in its own heap otherwise, moves them about, and leaves their bytes where they were.
test('a copy lies outside of V8’s heap, however small it is', (t) => {
  const memory = (): number => process.memoryUsage().arrayBuffers
  const before = memory()
  const copies = Array.from({ length: 1000 }, () => SecretBytes.copyOf(Buffer.from('four')))
  t.true(memory() - before >= 4 * copies.length)
})

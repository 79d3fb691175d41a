import test from 'ava'
import {
  decodeSecret,
  decodeStatus,
  decodeUnknown,
  encodeSecret,
  encodeStatus,
  encodeUnknown,
} from '../../src/wire/kubernetes-messages.ts'

const METADATA = { name: 'db', namespace: 'shop', uid: 'u', resourceVersion: '7' }

function secretBody(data: Readonly<Record<string, Buffer>>): Buffer {
  const raw = encodeSecret({ metadata: METADATA, data, type: 'Opaque', immutable: true })
  return encodeUnknown({ typeMeta: { apiVersion: 'v1', kind: 'Secret' }, raw })
}

test('a Secret comes back as it went, in its envelope', (t) => {
  const data = { password: Buffer.from([0, 1, 255]), empty: Buffer.alloc(0) }
  const { typeMeta, raw } = decodeUnknown(secretBody(data))
  t.like(typeMeta, { apiVersion: 'v1', kind: 'Secret' })
  const secret = decodeSecret(raw)
  t.like(secret, { metadata: METADATA, type: 'Opaque', immutable: true })
  t.deepEqual(Object.entries(secret.data), Object.entries(data))
})

test('a Secret without data has none, rather than no map', (t) => {
  t.deepEqual(Object.entries(decodeSecret(Buffer.alloc(0)).data), [])
})

test('values are views of the body, so that zeroing the body zeroes them', (t) => {
  const body = secretBody({ password: Buffer.from('hunter2') })
  const { data } = decodeSecret(decodeUnknown(body).raw)
  t.is(data['password']?.toString(), 'hunter2')
  body.fill(0)
  t.true(data['password']?.every((byte) => byte === 0))
})

test('a key named __proto__ is a key like any other', (t) => {
  const data = Object.create(null) as Record<string, Buffer>
  data['__proto__'] = Buffer.from('x')
  const { data: back } = decodeSecret(decodeUnknown(secretBody(data)).raw)
  t.deepEqual(Object.keys(back), ['__proto__'])
})

test('a Status comes back as it went', (t) => {
  const gone = { status: 'Failure', message: 'gone', reason: 'NotFound', code: 404 }
  const raw = encodeStatus(gone)
  t.like(decodeStatus(raw), gone)
})

for (const { what, body } of [
  { what: 'an empty body', body: Buffer.alloc(0) },
  { what: 'JSON', body: Buffer.from('{"kind":"Secret"}') },
  {
    what: 'an envelope that is cut off',
    body: Buffer.concat([Buffer.from('k8s\0'), Buffer.from([0x0f])]),
  },
]) {
  test(`${what} is no protobuf body`, (t) => {
    t.throws(() => decodeUnknown(body))
  })
}

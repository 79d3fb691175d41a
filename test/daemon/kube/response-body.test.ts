import { Readable } from 'node:stream'
import test from 'ava'
import type { LatchkeyError } from '../../../src/core/errors.ts'
import { collectBody } from '../../../src/daemon/kube/response-body.ts'
import { never } from './kube-world.ts'

const isZero = (chunk: Buffer): boolean => chunk.every((byte) => byte === 0)

function makeChunks(): Buffer[] {
  return [Buffer.from('s3cr'), Buffer.from('3t'), Buffer.from('!')]
}

test('a body is joined, and the pieces it came in hold it no more', async (t) => {
  const chunks = makeChunks()
  const body = await collectBody(Readable.from(chunks), 7, never())
  t.is(body.toString(), 's3cr3t!')
  t.true(chunks.every(isZero))
})

test('an empty body is an empty buffer', async (t) => {
  t.is((await collectBody(Readable.from([]), 7, never())).length, 0)
})

test('a body over the bound is given up, zeroed, and read no further', async (t) => {
  const chunks = makeChunks()
  const stream = Readable.from(chunks, { highWaterMark: 1 })
  const error = await t.throwsAsync<LatchkeyError>(collectBody(stream, 5, never()))
  t.is(error.reason, 'PayloadTooLarge')
  t.true(chunks.slice(0, 2).every(isZero))
  t.true(stream.destroyed)
})

test('a body that breaks off is KubeUnavailable with the code alone, and zeroed', async (t) => {
  const chunks = makeChunks()
  const broken = Readable.from(
    (function* () {
      yield* chunks
      throw Object.assign(new Error('s3cr3t'), { code: 'ECONNRESET' })
    })(),
  )
  const error = await t.throwsAsync<LatchkeyError>(collectBody(broken, 100, never()))
  t.is(error.reason, 'KubeUnavailable')
  t.is(error.message, 'no connection to the API server (ECONNRESET)')
  t.is(error.cause, undefined)
  t.true(chunks.every(isZero))
})

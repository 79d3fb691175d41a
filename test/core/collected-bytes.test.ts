import { Readable } from 'node:stream'
import test from 'ava'
import { collectBytes } from '../../src/core/collected-bytes.ts'

const pieces = (): Buffer[] => ['pass', 'wo', 'rd'].map((text) => Buffer.from(text))

test('what comes in pieces is one buffer, and the pieces are zeroed', async (t) => {
  const chunks = pieces()
  t.is((await collectBytes(Readable.from(chunks), 8))?.toString(), 'password')
  t.true(chunks.every((chunk) => chunk.every((byte) => byte === 0)))
})

test('more than the bound is not collected, its rest not read, and what came of it zeroed', async (t) => {
  const chunks = pieces()
  const stream = Readable.from(chunks)
  t.is(await collectBytes(stream, 5), undefined)
  t.true(stream.destroyed)
  t.deepEqual([...Buffer.concat(chunks.slice(0, 2))], [0, 0, 0, 0, 0, 0])
})

test('pieces that break off are zeroed as well', async (t) => {
  const chunks = pieces()
  const broken = async function* (): AsyncGenerator<Buffer> {
    yield* chunks
    await Promise.reject(new Error('cut off'))
  }
  await t.throwsAsync(collectBytes(broken(), 100), { message: 'cut off' })
  t.true(chunks.every((chunk) => chunk.every((byte) => byte === 0)))
})

import test from 'ava'
import fc from 'fast-check'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { splitLines } from '../../../src/daemon/kube/line-splitter.ts'

async function* streamOf(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) yield await Promise.resolve(chunk)
}

async function split(chunks: readonly Buffer[], maxBytes: number): Promise<string[]> {
  const lines: string[] = []
  for await (const line of splitLines(streamOf(chunks), maxBytes)) lines.push(line.toString())
  return lines
}

test('lines come whole, however the stream is cut, and a line that broke off does not', async (t) => {
  const text = fc.string({ unit: fc.constantFrom('a', 'é', '\n', '{'), maxLength: 60 })
  await fc.assert(
    fc.asyncProperty(text, fc.array(fc.nat(80)), async (whole, cuts) => {
      const bytes = Buffer.from(whole)
      const edges = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length]
      const sorted = edges.toSorted((a, b) => a - b)
      const chunks = sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end))
      const expected = whole
        .split('\n')
        .slice(0, -1)
        .filter((line) => line !== '')
      t.deepEqual(await split(chunks, 1000), expected)
    }),
  )
})

test('a line may be as long as the bound and no longer, in one piece or in many', async (t) => {
  const line = Buffer.from(`${'x'.repeat(10)}\n`)
  const pieces = [...line].map((byte) => Buffer.from([byte]))
  t.deepEqual(await split([line, line], 10), ['x'.repeat(10), 'x'.repeat(10)])
  t.deepEqual(await split(pieces, 10), ['x'.repeat(10)])
  for (const chunks of [[line], pieces]) {
    const error = await t.throwsAsync<LatchkeyError>(split(chunks, 9), {
      instanceOf: LatchkeyError,
    })
    t.is(error.reason, 'KubeUnavailable')
  }
})

test('a line that never ends is given up without waiting for its end', async (t) => {
  let sent = 0
  async function* endless(): AsyncGenerator<Buffer> {
    for (;;) {
      sent += 1
      yield await Promise.resolve(Buffer.alloc(100, 'x'))
    }
  }
  const lines = splitLines(endless(), 1000)
  await t.throwsAsync(lines.next(), { message: /a line of more than 1000 bytes/ })
  t.is(sent, 11)
})

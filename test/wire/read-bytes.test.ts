import test from 'ava'
import { StreamDecoder } from '@grpc/grpc-js/build/src/stream-decoder.js'
import { wipeReadBytes } from '../../src/wire/read-bytes.ts'

const MAX_BYTES = 1024 * 1024

wipeReadBytes()

function frameOf(message: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** Pieces of the same bytes, as reads of a socket bring them. */
function cut(bytes: Buffer, lengths: readonly number[]): Buffer[] {
  const pieces: Buffer[] = []
  let at = 0
  for (let turn = 0; at < bytes.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1
    pieces.push(Buffer.from(bytes.subarray(at, at + length)))
    at += length
  }
  return pieces
}

/** Of a message; that its length was there may stay. */
function isWiped(bytes: Buffer): boolean {
  return !bytes.includes('x')
}

for (const lengths of [[1], [2, 3], [7], [16], [64, 1], [1000], [5, 4, 1, 90]]) {
  test(`messages are put together as ever from pieces of ${lengths.join(' and ')}, of which nothing stays`, (t) => {
    const messages = Array.from({ length: 60 }, (_, index) => Buffer.alloc((index * 7) % 100, 'x'))
    const pieces = cut(Buffer.concat(messages.map(frameOf)), lengths)
    const decoder = new StreamDecoder(MAX_BYTES)
    const read = pieces.flatMap((piece) => decoder.write(piece))
    t.deepEqual(read, messages.map(frameOf))
    t.true(pieces.every(isWiped))
  })
}

test('a stream that falls silent keeps nothing of its last message', (t) => {
  const decoder = new StreamDecoder(MAX_BYTES)
  const pieces = cut(frameOf(Buffer.alloc(100_000, 'x')), [16_384])
  const [message] = pieces.flatMap((piece) => decoder.write(piece))
  t.is(message?.length, 100_005)
  const inside = decoder as unknown as { readPartialMessage: Buffer[] }
  t.deepEqual(inside.readPartialMessage, [])
  t.true(pieces.every(isWiped))
})

test('what has come of a message that is not whole yet stays as it is', (t) => {
  const decoder = new StreamDecoder(MAX_BYTES)
  const [first, second] = [Buffer.from('first'), Buffer.from('second')].map(frameOf)
  const bytes = Buffer.concat([first ?? Buffer.alloc(0), second ?? Buffer.alloc(0)])
  t.deepEqual(decoder.write(Buffer.from(bytes.subarray(0, 17))), [first])
  t.deepEqual(decoder.write(Buffer.from(bytes.subarray(17))), [second])
})

test('the flag of a compressed message is not lost when it comes with the end of another', (t) => {
  const decoder = new StreamDecoder(MAX_BYTES)
  const packed = frameOf(Buffer.from('packed'))
  packed[0] = 1
  const bytes = Buffer.concat([frameOf(Buffer.from('plain')), packed])
  decoder.write(Buffer.from(bytes.subarray(0, 12)))
  t.deepEqual(decoder.write(Buffer.from(bytes.subarray(12))), [packed])
})

test('asked for twice it is done once', (t) => {
  const written = (): unknown => Reflect.get(StreamDecoder.prototype, 'write')
  const before = written()
  wipeReadBytes()
  t.is(written(), before)
})

import test from 'ava'
import { wipeContents } from '../../src/host/contents.ts'

function messageOf(...pieces: readonly Buffer[]) {
  const files = pieces.map((data, index) => ({
    path: `file-${index}`,
    data,
    mode: 0o644,
    ownerUid: 0,
  }))
  return { generation: 1, files, digest: Buffer.alloc(32), needed: null }
}

test('a large message is freed as soon as it has been dealt with, whoever holds on to it', (t) => {
  const memory = new ArrayBuffer(1024 * 1024)
  const [one, two] = [Buffer.from(memory, 0, 1000).fill('x'), Buffer.from(memory, 1000).fill('y')]
  wipeContents(messageOf(one, two))
  t.true(memory.detached)
  t.is(one.length + two.length, 0)
})

test('of memory that may be shared with others only the values are zeroed', (t) => {
  const memory = new ArrayBuffer(64 * 1024)
  const neighbour = Buffer.from(memory, 0, 100).fill('n')
  const value = Buffer.from(memory, 100, 100).fill('x')
  wipeContents(messageOf(value))
  t.deepEqual(value, Buffer.alloc(100))
  t.deepEqual(neighbour, Buffer.alloc(100, 'n'))
})

import test from 'ava'
import { contentsDigest } from '../../src/core/contents-digest.ts'
import { SecretBytes } from '../../src/core/secret-bytes.ts'
import type { VolumeFile } from '../../src/core/types.ts'

function file(path: string, text: string, changes: Partial<VolumeFile> = {}): VolumeFile {
  return { path, data: new SecretBytes(Buffer.from(text)), mode: 0o644, ownerUid: 0, ...changes }
}

test('the order of files does not matter, everything else does', (t) => {
  const base = [file('a', '1'), file('b', '2')]
  const digest = contentsDigest(base).toString('hex')
  t.is(contentsDigest(base.toReversed()).toString('hex'), digest)
  const others = [
    [file('a', '1')],
    [file('a', '2'), file('b', '1')],
    [file('a', '12'), file('b', '')],
    [file('a', '1'), file('c', '2')],
    [file('a', '1', { mode: 0o600 }), file('b', '2')],
    [file('a', '1', { ownerUid: 7 }), file('b', '2')],
    [],
  ]
  for (const other of others) t.not(contentsDigest(other).toString('hex'), digest)
})

test('bytes cannot move from a path into its data unnoticed', (t) => {
  const one = contentsDigest([file('ab', 'c')])
  const two = contentsDigest([file('a', 'bc')])
  t.false(one.equals(two))
})

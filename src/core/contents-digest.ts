import { createHash } from 'node:crypto'
import type { VolumeFile } from './types.ts'

/**
 * SHA-256 over a generation in canonical order: files sorted by the bytes of their paths, each as
 * length-prefixed path, mode, owner and length-prefixed data, so that no two generations collide by
 * concatenation. Both sides compute it: the daemon over what it sends, the host over what is mounted.
 */
export function contentsDigest(files: readonly VolumeFile[]): Buffer {
  const hash = createHash('sha256')
  for (const file of sortedByPath(files)) {
    const path = Buffer.from(file.path)
    const head = Buffer.alloc(20)
    head.writeUInt32BE(path.length, 0)
    head.writeUInt32BE(file.mode, 4)
    head.writeUInt32BE(file.ownerUid, 8)
    head.writeBigUInt64BE(BigInt(file.data.length), 12)
    hash.update(head).update(path)
    file.data.use((bytes) => hash.update(bytes))
  }
  return hash.digest()
}

function sortedByPath(files: readonly VolumeFile[]): readonly VolumeFile[] {
  return files.toSorted((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)))
}

import { contentsDigest } from '../core/contents-digest.ts'
import { LatchkeyError } from '../core/errors.ts'
import { MAX_USER_OR_GROUP_ID, MAX_VOLUME_FILES } from '../core/limits.ts'
import { findCollision } from '../core/path-collision.ts'
import { parseSafePath } from '../core/safe-path.ts'
import { SecretBytes } from '../core/secret-bytes.ts'
import type { VolumeFile } from '../core/types.ts'
import type { Contents__Output } from '../wire/gen/latchkey/mount/v1/Contents.ts'
import type { File__Output } from '../wire/gen/latchkey/mount/v1/File.ts'

const MAX_MODE = 0o777
/** A message that is larger has been put together from several reads, in memory of its own. */
const OWN_BYTES = 256 * 1024

/** One generation of a volume's files, checked. */
export interface Generation {
  readonly number: number
  readonly files: readonly VolumeFile[]
  readonly digest: Buffer
}

/**
 * Takes the daemon's contents apart. The daemon is no more trusted here than a tenant: it may be
 * compromised, and what it sends is written by root.
 *
 * Throws: InvalidRequest, PayloadTooLarge; neither quotes a value.
 */
export function parseContents(contents: Contents__Output, maxVolumeBytes: number): Generation {
  if (contents.files.length > MAX_VOLUME_FILES) {
    throw new LatchkeyError('PayloadTooLarge', `contents: more than ${MAX_VOLUME_FILES} files`)
  }
  const files = contents.files.map(parseFile)
  const bytes = files.reduce((sum, file) => sum + file.data.length, 0)
  if (bytes > maxVolumeBytes) {
    throw new LatchkeyError(
      'PayloadTooLarge',
      `contents: ${bytes} bytes, ${maxVolumeBytes} allowed`,
    )
  }
  if (findCollision(files.map(({ path }) => path)) !== undefined) {
    throw new LatchkeyError('InvalidRequest', 'contents: two paths meet in one place')
  }
  const digest = contentsDigest(files)
  // A Resume stands on both sides telling the same digest of the same files.
  if (!digest.equals(contents.digest)) {
    throw new LatchkeyError('InvalidRequest', 'contents.digest is not that of the files')
  }
  return { number: contents.generation, files, digest }
}

/**
 * Zeroes the values of a message that has been dealt with; the files are views of the same bytes. A large message
 * is freed with that: garbage of its size is collected late, and who waits for the next message of a stream may
 * hold on to the last.
 */
export function wipeContents(contents: Contents__Output): void {
  for (const { data } of contents.files) data.fill(0)
  for (const { data } of contents.files) {
    const { buffer } = data
    // Smaller ones may lie in a piece of memory that others share: a read of a socket brings 64 KiB.
    const isOwn = buffer instanceof ArrayBuffer && buffer.byteLength >= OWN_BYTES
    // All files of a message lie in one.
    if (isOwn && !buffer.detached) buffer.transfer(0)
  }
}

function parseFile(file: File__Output, index: number): VolumeFile {
  const field = `contents.files[${index}]`
  parseSafePath(file.path, `${field}.path`)
  if (file.mode > MAX_MODE) {
    throw new LatchkeyError('InvalidRequest', `${field}.mode: more than the permission bits`)
  }
  if (file.ownerUid > MAX_USER_OR_GROUP_ID) {
    throw new LatchkeyError('InvalidRequest', `${field}.owner_uid: not a user id`)
  }
  return {
    path: file.path,
    data: new SecretBytes(file.data),
    mode: file.mode,
    ownerUid: file.ownerUid,
  }
}

import { bind } from './libc.ts'

// struct statfs of every 64-bit Linux: seven words, then the id.
const STATFS_BYTES = 120
const FSID_OFFSET = 56

const fstatfs = bind('fstatfs', 'int fstatfs(int, void *)')

/**
 * The id of the file system that an open file lies on. For a tmpfs it is random from its making (Linux 5.13;
 * 0 before), where its device number is given to the next one as soon as it is gone. Throws: SyscallError.
 */
export function fileSystemId(fd: number): bigint {
  const statfs = Buffer.alloc(STATFS_BYTES)
  fstatfs(fd, statfs)
  return statfs.readBigUInt64LE(FSID_OFFSET)
}

import { bind, isSyscallError } from './libc.ts'

const LOCK_EX = 2
const LOCK_NB = 4

const flock = bind('flock', 'int flock(int, int)')

/**
 * Takes the lock of an open file without waiting; false: through another opening of the file it is taken,
 * be it by this process. It ends with the descriptor, and so with the process, however that ends: flock(2).
 *
 * Throws: SyscallError.
 */
export function tryLock(fd: number): boolean {
  try {
    flock(fd, LOCK_EX | LOCK_NB)
    return true
  } catch (thrown) {
    if (isSyscallError(thrown, 'EAGAIN', 'EWOULDBLOCK')) return false
    throw thrown
  }
}

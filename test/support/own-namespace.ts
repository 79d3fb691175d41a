import { readFileSync } from 'node:fs'
import { bind, isSyscallError } from '../../src/syscalls/libc.ts'

const CLONE_NEWNS = 0x20000
const MS_REC = 0x4000
const MS_PRIVATE = 0x40000

const unshare = bind('unshare', 'int unshare(int)')
const mount = bind(
  'mount',
  'int mount(const char *, const char *, const char *, unsigned long, void *)',
)

/**
 * Gives the main thread of this process a mount namespace of its own: whatever a test leaves mounted goes
 * with the process. The other threads stay outside, so only synchronous calls of node:fs see the mounts, and
 * children, which inherit the main thread's namespace; node:fs/promises does not. Reports whether it may.
 */
export function enterOwnNamespace(): boolean {
  try {
    unshare(CLONE_NEWNS)
  } catch (thrown) {
    // Also of a root that lacks CAP_SYS_ADMIN, as in most containers.
    if (isSyscallError(thrown, 'EPERM')) return false
    throw thrown
  }
  mount(null, '/', null, MS_REC | MS_PRIVATE, null)
  return true
}

/** A user namespace may map one single id, and files cannot be given to any other then. */
export function hasManyIds(): boolean {
  return ['uid_map', 'gid_map'].every((map) => {
    const lines = readFileSync(`/proc/self/${map}`, 'utf8').trim().split('\n')
    return lines.some((line) => Number(line.trim().split(/\s+/)[2]) > 65_535)
  })
}

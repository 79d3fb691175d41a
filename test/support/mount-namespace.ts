import test, { type ExecutionContext } from 'ava'
import { bind } from '../../src/syscalls/libc.ts'

const CLONE_NEWNS = 0x20000
const MS_REC = 0x4000
const MS_PRIVATE = 0x40000

const unshare = bind('unshare', 'int unshare(int)')
const mount = bind(
  'mount',
  'int mount(const char *, const char *, const char *, unsigned long, void *)',
)

/**
 * Gives the main thread of this process a mount namespace of its own, in which node's synchronous calls
 * run: whatever a test leaves mounted goes with the process. Children started afterwards inherit it.
 */
function enterOwnNamespace(): boolean {
  if (process.getuid?.() !== 0) return false
  unshare(CLONE_NEWNS)
  mount(null, '/', null, MS_REC | MS_PRIVATE, null)
  return true
}

const mayMount = enterOwnNamespace()

type Implementation = (t: ExecutionContext) => void | Promise<void>

/** A test that mounts; skipped by name where this process may not. */
export function mountTest(title: string, implementation: Implementation): void {
  if (mayMount) test(title, implementation)
  else test.skip(`${title} (needs root, or \`unshare -Urm npm test\`)`, implementation)
}

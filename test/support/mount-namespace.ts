import test, { type ExecutionContext } from 'ava'
import { enterOwnNamespace, hasManyIds } from './own-namespace.ts'

const mayMount = enterOwnNamespace()
const mayOwn = mayMount && hasManyIds()

type Implementation = (t: ExecutionContext) => void | Promise<void>

/** A test that mounts; skipped by name where this process may not. */
export function mountTest(title: string, implementation: Implementation): void {
  if (mayMount) test(title, implementation)
  else test.skip(`${title} (needs root, or \`unshare -Urm npm test\`)`, implementation)
}

/** A test that mounts and gives files to other users and groups; skipped by name where it may not. */
export function mountTestWithOwners(title: string, implementation: Implementation): void {
  if (mayOwn) mountTest(title, implementation)
  else test.skip(`${title} (needs root outside of a user namespace)`, implementation)
}

import { readFileSync } from 'node:fs'
import test, { type ExecutionContext } from 'ava'
import { enterOwnNamespace } from './own-namespace.ts'

/** A user namespace may map one single id, and files cannot be given to any other then. */
function hasManyIds(): boolean {
  return ['uid_map', 'gid_map'].every((map) => {
    const lines = readFileSync(`/proc/self/${map}`, 'utf8').trim().split('\n')
    return lines.some((line) => Number(line.trim().split(/\s+/)[2]) > 65_535)
  })
}

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

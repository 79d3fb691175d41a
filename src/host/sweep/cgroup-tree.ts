import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** kubelet's pods lie at the fifth level or above it, on a node that is a container a few below that. */
const MAX_DEPTH = 24

/** Bounds one look at cgroups: so many folders may still be visited. */
export interface Budget {
  folders: number
}

/** Where the kernel shows cgroups. */
export interface CgroupRoots {
  readonly version: 1 | 2
  /** Each the root of a hierarchy: the one of v2, or one for each controller of v1. */
  readonly hierarchies: readonly string[]
}

/** Throws: errors of node:fs. */
export async function findRoots(root: string): Promise<CgroupRoots> {
  const entries = await readdir(root, { withFileTypes: true })
  if (entries.some(({ name }) => name === 'cgroup.procs'))
    return { version: 2, hierarchies: [root] }
  // Links such as `cpu` for `cpu,cpuacct` would only show the same tree again.
  const folders = entries.filter((entry) => entry.isDirectory())
  return { version: 1, hierarchies: folders.map(({ name }) => join(root, name)) }
}

/**
 * Visits everything below a folder into which `visit` asks to go. Answers whether it has seen all of it: a
 * folder that cannot be read, or has gone meanwhile, is not known to have been empty.
 */
export async function walkCgroups(
  folder: string,
  visit: (folder: string, name: string) => Promise<boolean> | boolean,
  budget: Budget,
  depth = 0,
): Promise<boolean> {
  if (depth > MAX_DEPTH || budget.folders <= 0) return false
  budget.folders -= 1
  const children = await readdir(folder, { withFileTypes: true }).catch(() => undefined)
  if (children === undefined) return false
  let isWhole = true
  for (const child of children) {
    if (!child.isDirectory()) continue
    if (budget.folders <= 0) return false
    const path = join(folder, child.name)
    if (!(await visit(path, child.name))) continue
    isWhole = (await walkCgroups(path, visit, budget, depth + 1)) && isWhole
  }
  return isWhole
}

/**
 * Whether a process lives in a cgroup or anywhere below it, in one word of the kernel's, which no process can
 * slip through by being moved from folder to folder; undefined: it says nothing.
 *
 * The lists of processes cannot be trusted for that. From a pid namespace that does not show a process v2
 * lists it as 0, and v1 does not list it at all: to a container every other pod would seem to be empty.
 */
export async function isPopulated(
  cgroup: string,
  version: CgroupRoots['version'],
): Promise<boolean | undefined> {
  if (version === 1) {
    const tasks = await readText(join(cgroup, 'pids.current'))
    return tasks === undefined || !/^\d+\n?$/.test(tasks) ? undefined : Number(tasks) > 0
  }
  const events = await readText(join(cgroup, 'cgroup.events'))
  const [, populated] = /^populated ([01])$/m.exec(events ?? '') ?? []
  return populated === undefined ? undefined : populated === '1'
}

/** Processes that are listed for this very cgroup, as a pid or as 0; undefined: cannot be read. */
export async function countListed(cgroup: string): Promise<number | undefined> {
  const text = await readText(join(cgroup, 'cgroup.procs'))
  return text?.split('\n').filter((line) => line !== '').length
}

async function readText(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined)
}

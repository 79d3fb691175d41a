import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { hasCode } from '../volume/volume-io.ts'

/** kubelet's pods lie at the fifth level or above it, on a node that is a container a few below that. */
const MAX_DEPTH = 24
/** A node of 500 pods has some 3,000 cgroups. */
const MAX_FOLDERS = 50_000

/** Bounds one look at the node's cgroups, whatever a pod has nested into its own. */
export interface Budget {
  folders: number
}

export function newBudget(): Budget {
  return { folders: MAX_FOLDERS }
}

/**
 * The roots of the cgroup hierarchies below `root`: itself with cgroup v2, each of its folders with v1, which
 * has controllers apart. Links such as `cpu` for `cpu,cpuacct` would only show the same tree again.
 *
 * Throws: errors of node:fs.
 */
export async function findHierarchies(root: string): Promise<readonly string[]> {
  const entries = await readdir(root, { withFileTypes: true })
  if (entries.some(({ name }) => name === 'cgroup.procs')) return [root]
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(root, name))
}

/**
 * Visits a folder and everything below it into which `visit` asks to go. Answers whether it has seen all of
 * it: a folder that cannot be read, or has gone meanwhile, is not known to have been empty.
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
    const path = join(folder, child.name)
    if (!(await visit(path, child.name))) continue
    isWhole = (await walkCgroups(path, visit, budget, depth + 1)) && isWhole
  }
  return isWhole
}

/**
 * Processes that lie in this very cgroup; undefined: cannot be read. A line counts whatever it says: the kernel
 * writes 0 for a process that our own pid namespace does not show, and that is every one of another pod.
 */
export async function countProcesses(cgroup: string): Promise<number | undefined> {
  const text = await readFile(join(cgroup, 'cgroup.procs'), 'utf8').catch(() => undefined)
  return text?.split('\n').filter((line) => line !== '').length
}

/**
 * Whether cgroup v2 says of a cgroup and all below it at once that a process lives there: one that is moved
 * from folder to folder could be missed by reading them in turn. False with v1, which does not say;
 * undefined: cannot be read.
 */
export async function isPopulated(cgroup: string): Promise<boolean | undefined> {
  try {
    const text = await readFile(join(cgroup, 'cgroup.events'), 'utf8')
    return !/^populated 0$/m.test(text)
  } catch (thrown) {
    return hasCode(thrown, 'ENOENT') ? false : undefined
  }
}

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { identify, signalProcess } from './processes.ts'
import { until } from './until.ts'

const NAME = 'latchkey-e2e'
const ROOT = '/sys/fs/cgroup'

/** The control groups of one node: ours alone, so whatever runs in them is ours to end. */
export interface Cgroups {
  /** One folder per hierarchy, made below the caller's own; the node sees them as roots. */
  readonly folders: readonly string[]
  /** Where the node's processes are put: the folders, or a leaf in them (version 2). */
  readonly joined: readonly string[]
  /** What to mount inside: options of a v1 hierarchy and the folder under /sys/fs/cgroup. */
  readonly mounts: readonly CgroupMount[]
}

export interface CgroupMount {
  readonly type: 'cgroup' | 'cgroup2'
  readonly options: string
  readonly folder: string
}

/**
 * Reads from /proc which hierarchies this machine has. On a machine with only version 2 the folder
 * lies at the root: below a session's own group no controller could be switched on, since a group
 * that holds processes may not hand controllers down (cgroup-v2, "no internal process constraint").
 */
export function planCgroups(): Cgroups {
  const hierarchies = readFileSync('/proc/self/cgroup', 'utf8').trim().split('\n').map(parseLine)
  const v1 = hierarchies.filter(({ controllers }) => controllers !== '')
  if (v1.length === 0) {
    const folder = join(ROOT, NAME)
    return {
      folders: [folder],
      joined: [join(folder, 'processes')],
      mounts: [{ type: 'cgroup2', options: '', folder: '' }],
    }
  }
  const mounted = v1
    .map(({ controllers, path }) => {
      const folder = controllers.replace(/^name=/, '')
      return { controllers, folder, path: join(ROOT, folder, path) }
    })
    .filter(({ path }) => existsSync(path))
  const folders = mounted.map(({ path }) => join(path, NAME))
  return {
    folders,
    joined: folders,
    mounts: mounted.map(({ controllers, folder }) => ({
      type: 'cgroup',
      options: controllers.startsWith('name=') ? `none,${controllers}` : controllers,
      folder,
    })),
  }
}

/** Makes the folders of the plan. */
export function createCgroups(plan: Cgroups): void {
  for (const [index, folder] of plan.folders.entries()) {
    if (plan.mounts[index]?.type === 'cgroup2') handDownControllers(join(folder, '..'))
    mkdirSync(folder, { recursive: true })
    // A new cpuset has no CPU and no memory node, and nothing can join it until it has.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) copyFromParent(folder, file)
  }
  for (const folder of plan.joined) mkdirSync(folder, { recursive: true })
}

/** Switches on in a version 2 group what kubelet needs in the groups below it. */
export function handDownControllers(folder: string): void {
  const file = join(folder, 'cgroup.subtree_control')
  if (!existsSync(file)) return
  const offered = readFileSync(join(folder, 'cgroup.controllers'), 'utf8').trim().split(' ')
  const missing = ['cpuset', 'cpu', 'io', 'memory', 'pids'].filter((it) => !offered.includes(it))
  if (missing.length > 0) {
    throw new Error(`cgroup controllers missing in ${folder}: ${missing.join(' ')}`)
  }
  try {
    writeFileSync(file, '+cpuset +cpu +io +memory +pids')
  } catch (error) {
    // Inside a container its root group holds processes, and then may not hand anything down.
    throw new Error(`cannot switch on cgroup controllers by ${file}`, { cause: error })
  }
}

/** Ends every process in those groups and removes the groups with all that is below them. */
export async function removeCgroups(folders: readonly string[], withinMs: number): Promise<void> {
  await until(
    () => {
      const pids = new Set(folders.flatMap(processesBelow))
      for (const pid of pids) {
        const target = identify(pid)
        if (target !== undefined) signalProcess(target, 'SIGKILL')
      }
      if (pids.size > 0) return undefined
      for (const folder of folders) removeTree(folder)
      return folders.some((folder) => existsSync(folder)) ? undefined : true
    },
    { what: `the cgroups ${folders.join(' ')} to be empty`, withinMs, everyMs: 50 },
  )
}

function parseLine(line: string): { controllers: string; path: string } {
  const [, controllers = '', ...path] = line.split(':')
  return { controllers, path: path.join(':') }
}

function copyFromParent(folder: string, file: string): void {
  const own = join(folder, file)
  const isVersion1 = existsSync(join(folder, 'cgroup.clone_children'))
  if (!isVersion1 || !existsSync(own)) return
  writeFileSync(own, readFileSync(join(folder, '..', file)))
}

function foldersBelow(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => {
      const child = join(folder, entry.name)
      return [...foldersBelow(child), child]
    })
}

function processesBelow(folder: string): number[] {
  return [...foldersBelow(folder), folder].flatMap((group) => {
    const file = join(group, 'cgroup.procs')
    if (!existsSync(file)) return []
    return readFileSync(file, 'utf8').split('\n').filter(Boolean).map(Number)
  })
}

function removeTree(folder: string): void {
  for (const group of [...foldersBelow(folder), folder]) {
    try {
      rmdirSync(group)
    } catch {
      // Busy while its last process is being reaped; the caller tries again.
    }
  }
}

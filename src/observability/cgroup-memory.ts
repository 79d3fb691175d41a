import { readFileSync } from 'node:fs'
import { posix } from 'node:path'

/** What the kernel lets this container have of memory, and what it has. */
export interface CgroupMemory {
  /** The lowest of its cgroup and those above; undefined where there is none. */
  readonly limitBytes: number | undefined
  /** Without what the kernel could drop at once, as kubelet counts it; tmpfs and its files are in it. */
  readonly usedBytes: number
}

export interface CgroupFiles {
  readonly root: string
  /** As /proc/self/cgroup. */
  readonly membership: string
}

interface Names {
  readonly limit: string
  readonly used: string
  readonly droppable: string
}

const OWN: CgroupFiles = { root: '/sys/fs/cgroup', membership: '/proc/self/cgroup' }
const V2: Names = { limit: 'memory.max', used: 'memory.current', droppable: 'inactive_file' }
const V1: Names = {
  limit: 'memory.limit_in_bytes',
  used: 'memory.usage_in_bytes',
  droppable: 'total_inactive_file',
}
/** v1 says "no limit" with the largest number of pages. */
const NO_LIMIT = 2 ** 62

/** Reads it from cgroup v2 or v1; undefined where neither can be read, as outside of Linux. */
export function readCgroupMemory({ root, membership }: CgroupFiles = OWN):
  CgroupMemory | undefined {
  for (const line of (readText(membership) ?? '').split('\n')) {
    const [, controllers = '', path = ''] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (path === '') continue
    if (controllers === '' && readText(`${root}/cgroup.controllers`) !== undefined) {
      return readAt(root, path, V2)
    }
    if (controllers.split(',').includes('memory')) return readAt(`${root}/memory`, path, V1)
  }
  return undefined
}

/**
 * A container with a cgroup namespace of its own sees its cgroup as the root; a privileged one sees the
 * node's tree, in which its place is what /proc says.
 */
function readAt(top: string, path: string, names: Names): CgroupMemory | undefined {
  const own = posix.join(top, path)
  const folder = readText(`${own}/${names.used}`) === undefined ? top : own
  const used = Number(readText(`${folder}/${names.used}`) ?? Number.NaN)
  if (Number.isNaN(used)) return undefined
  const limits = foldersUpTo(folder, top).flatMap((each) => limitAt(each, names) ?? [])
  return {
    limitBytes: limits.length === 0 ? undefined : Math.min(...limits),
    usedBytes: Math.max(0, used - droppableAt(folder, names)),
  }
}

function foldersUpTo(folder: string, top: string): readonly string[] {
  return folder === top || !folder.startsWith(`${top}/`)
    ? [folder]
    : [folder, ...foldersUpTo(posix.dirname(folder), top)]
}

function limitAt(folder: string, { limit }: Names): number | undefined {
  const bytes = Number(readText(`${folder}/${limit}`) ?? Number.NaN)
  return Number.isNaN(bytes) || bytes >= NO_LIMIT ? undefined : bytes
}

function droppableAt(folder: string, { droppable }: Names): number {
  const stat = readText(`${folder}/memory.stat`) ?? ''
  return Number(new RegExp(`^${droppable} (\\d+)$`, 'm').exec(stat)?.[1] ?? 0)
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return undefined
  }
}

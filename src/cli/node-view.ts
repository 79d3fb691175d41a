import { readFileSync, statSync } from 'node:fs'
import { readPodCgroups, type PodLife } from '../host/sweep/pod-cgroups.ts'
import { readCgroupMemory, type CgroupMemory } from '../observability/cgroup-memory.ts'
import { probeKernel, type KernelFeatures } from '../syscalls/kernel-features.ts'
import { NODE_CGROUPS } from './node-cgroups.ts'

/** What `latchkey doctor` sees of the node from where it runs; a test shows it another one. */
export interface NodeView {
  readonly uid: number
  /** The text of /proc/swaps; '' where it cannot be read. */
  readonly swaps: string
  /** The text of /proc/self/mountinfo. */
  readonly mountinfo: string
  isFolder(path: string): boolean
  /** Throws: Unsupported. */
  probeKernel(): KernelFeatures
  readMemory(): CgroupMemory | undefined
  /** What the node's cgroups say of the pod that this runs in; undefined outside of one. */
  lifeOfOwnPod(): Promise<PodLife | undefined>
}

export function viewNode(): NodeView {
  const podUid = process.env['POD_UID']
  return {
    uid: process.getuid?.() ?? -1,
    swaps: textOf('/proc/swaps'),
    mountinfo: textOf('/proc/self/mountinfo'),
    isFolder: (path) => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true,
    probeKernel,
    readMemory: () => readCgroupMemory(),
    async lifeOfOwnPod() {
      if (podUid === undefined || podUid === '') return undefined
      const cgroups = await readPodCgroups({ root: NODE_CGROUPS, ownPodUid: podUid })
      return cgroups.lifeOf(podUid)
    },
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

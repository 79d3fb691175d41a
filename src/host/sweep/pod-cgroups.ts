import {
  countProcesses,
  findHierarchies,
  isPopulated,
  newBudget,
  walkCgroups,
  type Budget,
} from './cgroup-tree.ts'

/** What the kernel says of a pod's processes. */
export type PodLife =
  | { readonly is: 'empty' }
  /** `processes`: as the fullest hierarchy counts them, 1 at least. */
  | { readonly is: 'alive'; readonly processes: number }
  /** `why`: in a few words, to be read after a colon. */
  | { readonly is: 'unknown'; readonly why: string }

/** One look at where the node's pods have their cgroups; what is in them is read anew with each question. */
export interface PodCgroups {
  /** Never throws. */
  lifeOf(podUid: string): Promise<PodLife>
}

export interface CgroupView {
  /**
   * The node's cgroup tree, which is not the container's own: /sys/fs/cgroup of the node as a hostPath. Such
   * a mount shows the whole tree in spite of the container's cgroup namespace, and with cgroup v1 it brings
   * the hierarchies along, for runtimes bind it with what is mounted below.
   */
  readonly root: string
  /** Of the pod that this process runs in; undefined outside of one. */
  readonly ownPodUid: string | undefined
}

interface Hierarchy {
  /** A pod may have more than one: kubelet's driver may have been changed while it ran. */
  readonly folders: ReadonlyMap<string, readonly string[]>
  readonly isWhole: boolean
}

interface Census {
  readonly processes: number
  readonly isWhole: boolean
}

const BLIND = 'this host cannot see its own cgroup'
const UNREADABLE = 'not every cgroup could be read'

/**
 * The names that kubelet gives a pod's cgroup: `podUID` with the driver cgroupfs, `kubepods-QOS-podUID.slice`
 * with systemd, with _ for - in the uid; before `kubepods` stand the slices of its --cgroup-root, if any.
 * A static pod's uid is a hash without dashes, in these names as in the volumes' paths.
 */
const CGROUPFS_POD = /^pod([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32})$/
const SYSTEMD_POD =
  /^(?:.+-)?kubepods(?:-burstable|-besteffort)?-pod([0-9a-f]{8}(?:_[0-9a-f]{4}){3}_[0-9a-f]{12}|[0-9a-f]{32})\.slice$/

/**
 * Looks through the tree. Only our own pod's cgroup in it, with this very process inside, proves that it
 * is the tree which kubelet uses: without that a pod whose cgroup is not there may well be alive. A
 * hierarchy of v1 in which we are not is one that kubelet does not use.
 */
export async function readPodCgroups({ root, ownPodUid }: CgroupView): Promise<PodCgroups> {
  const budget = newBudget()
  const hierarchies = ownPodUid === undefined ? [] : await findPods(root, budget)
  const proven = new Set<Hierarchy>()
  for (const hierarchy of hierarchies) {
    const own = await census(hierarchy, ownPodUid ?? '', budget)
    if (own.processes > 0) proven.add(hierarchy)
  }
  return {
    async lifeOf(podUid) {
      const questionBudget = newBudget()
      let processes = 0
      let isWhole = true
      for (const hierarchy of hierarchies) {
        const found = await census(hierarchy, podUid, questionBudget)
        processes = Math.max(processes, found.processes)
        if (proven.has(hierarchy)) isWhole &&= hierarchy.isWhole && found.isWhole
      }
      if (processes > 0) return { is: 'alive', processes }
      if (proven.size === 0) return { is: 'unknown', why: BLIND }
      return isWhole ? { is: 'empty' } : { is: 'unknown', why: UNREADABLE }
    },
  }
}

async function findPods(root: string, budget: Budget): Promise<readonly Hierarchy[]> {
  const roots = await findHierarchies(root).catch(() => [])
  const hierarchies: Hierarchy[] = []
  for (const top of roots) {
    const folders = new Map<string, string[]>()
    const isWhole = await walkCgroups(
      top,
      (folder, name) => {
        const podUid = podUidOf(name)
        if (podUid === undefined) return true
        folders.set(podUid, [...(folders.get(podUid) ?? []), folder])
        // What a pod has nested into its own cgroup is its own, by whatever name.
        return false
      },
      budget,
    )
    hierarchies.push({ folders, isWhole })
  }
  return hierarchies
}

function podUidOf(name: string): string | undefined {
  return CGROUPFS_POD.exec(name)?.[1] ?? SYSTEMD_POD.exec(name)?.[1]?.replaceAll('_', '-')
}

/** Counts a pod's processes. No folder is none: kubelet removes a pod's cgroup once the pod has ended. */
async function census({ folders }: Hierarchy, podUid: string, budget: Budget): Promise<Census> {
  let processes = 0
  let isWhole = true
  const countIn = async (folder: string): Promise<boolean> => {
    const count = await countProcesses(folder)
    processes += count ?? 0
    if (count === undefined) isWhole = false
    return true
  }
  for (const pod of folders.get(podUid) ?? []) {
    await countIn(pod)
    if (!(await walkCgroups(pod, countIn, budget))) isWhole = false
    const isAlive = await isPopulated(pod)
    if (isAlive === undefined) isWhole = false
    else if (isAlive) processes = Math.max(processes, 1)
  }
  return { processes, isWhole }
}

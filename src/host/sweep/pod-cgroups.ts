import {
  countListed,
  findRoots,
  isPopulated,
  walkCgroups,
  type Budget,
  type CgroupRoots,
} from './cgroup-tree.ts'

/** What the kernel says of a pod's processes. */
export type PodLife =
  | { readonly is: 'empty' }
  /** `processes`: 0 where the kernel says that there are some, and not how many. */
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
  /** By pod uid; more than one where kubelet's cgroup driver was changed while the pod ran. */
  readonly pods: ReadonlyMap<string, readonly string[]>
  readonly version: CgroupRoots['version']
  readonly isWhole: boolean
}

/** A node of 500 pods has some 3,000 cgroups, with v1 once per hierarchy; none in a pod is among them. */
const MAX_FOLDERS = 100_000
/** Of one pod, which may nest as many as it likes where its cgroups are writable. They are only counted. */
const MAX_COUNTED_FOLDERS = 1_000

/** On a busy node some cgroup, of whomever, goes every now and then while the tree is walked. */
const MAX_TRIES = 3

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
 * Looks through the tree. Only our own pod's cgroup in it, which the kernel calls populated, proves that
 * it is the tree which kubelet uses: without that a pod whose cgroup is not there may well be alive. With
 * cgroup v1 only the hierarchy of the controller pids can prove it, see isPopulated.
 */
export async function readPodCgroups({ root, ownPodUid }: CgroupView): Promise<PodCgroups> {
  const hierarchies = ownPodUid === undefined ? [] : await findPods(root)
  const proven: Hierarchy[] = []
  const others: Hierarchy[] = []
  for (const hierarchy of hierarchies) {
    if ((await hearKernel(hierarchy, ownPodUid ?? '')) === true) proven.push(hierarchy)
    else others.push(hierarchy)
  }
  return {
    async lifeOf(podUid) {
      let isProven = proven.length > 0
      const budget = { folders: MAX_COUNTED_FOLDERS }
      // The kernel's word is for all that a pod has nested. A living pod is found by the first hierarchy that knows.
      for (const hierarchy of proven) {
        const isPopulated = await hearKernel(hierarchy, podUid)
        isProven &&= hierarchy.isWhole && isPopulated === false
        if (isPopulated === false) continue
        const processes = await countProcesses(hierarchy, podUid, budget)
        if (isPopulated === true || processes > 0) return { is: 'alive', processes }
      }
      // The others of v1 are a dozen, and prove nothing but life.
      for (const hierarchy of others) {
        const processes = await countProcesses(hierarchy, podUid, budget)
        if (processes > 0 || (await hearKernel(hierarchy, podUid)) === true) {
          return { is: 'alive', processes }
        }
      }
      if (isProven) return { is: 'empty' }
      return { is: 'unknown', why: proven.length === 0 ? BLIND : UNREADABLE }
    },
  }
}

async function findPods(root: string): Promise<readonly Hierarchy[]> {
  const roots = await findRoots(root).catch(() => undefined)
  const found: Hierarchy[] = []
  for (const top of roots?.hierarchies ?? []) {
    let hierarchy: Hierarchy
    let tries = 0
    do {
      hierarchy = await findPodsBelow(top, roots?.version ?? 2)
      tries += 1
    } while (!hierarchy.isWhole && tries < MAX_TRIES)
    found.push(hierarchy)
  }
  return found
}

async function findPodsBelow(top: string, version: CgroupRoots['version']): Promise<Hierarchy> {
  const pods = new Map<string, string[]>()
  const budget = { folders: MAX_FOLDERS }
  const note = (folder: string, name: string): boolean => {
    const podUid = podUidOf(name)
    if (podUid === undefined) return true
    pods.set(podUid, [...(pods.get(podUid) ?? []), folder])
    // What a pod has nested into its own cgroup is its own, by whatever name.
    return false
  }
  return { isWhole: await walkCgroups(top, note, budget), pods, version }
}

function podUidOf(name: string): string | undefined {
  return CGROUPFS_POD.exec(name)?.[1] ?? SYSTEMD_POD.exec(name)?.[1]?.replaceAll('_', '-')
}

/**
 * Whether the pod has a process; undefined: nothing is said. No folder, no process: kubelet makes a pod's cgroup
 * before its containers and removes it after them.
 */
async function hearKernel(
  { pods, version }: Hierarchy,
  podUid: string,
): Promise<boolean | undefined> {
  let isKnown = true
  for (const pod of pods.get(podUid) ?? []) {
    const says = await isPopulated(pod, version)
    if (says === true) return true
    if (says === undefined) isKnown = false
  }
  return isKnown ? false : undefined
}

/** As many as can be read of the pod within the budget. */
async function countProcesses(
  { pods }: Hierarchy,
  podUid: string,
  budget: Budget,
): Promise<number> {
  let processes = 0
  const countIn = async (folder: string): Promise<boolean> => {
    processes += (await countListed(folder)) ?? 0
    return true
  }
  for (const pod of pods.get(podUid) ?? []) {
    await countIn(pod)
    await walkCgroups(pod, countIn, budget)
  }
  return processes
}

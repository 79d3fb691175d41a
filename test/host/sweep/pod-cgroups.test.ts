import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { readPodCgroups, type PodLife } from '../../../src/host/sweep/pod-cgroups.ts'
import { tempDir } from '../../support/temp-dir.ts'

const OWN = '00000000-1111-4222-8333-444444444444'
const POD = '11111111-2222-4333-8444-555555555555'
/** Of a pod from a file on the node. */
const STATIC = '0123456789abcdef0123456789abcdef'

const BLIND: PodLife = { is: 'unknown', why: 'this host cannot see its own cgroup' }
const UNREADABLE: PodLife = { is: 'unknown', why: 'not every cgroup could be read' }

/** A cgroup with its list of processes, each as a pid or as the 0 by which v2 shows a foreign one. */
function cgroup(root: string, path: string, listed: readonly number[] = []): string {
  const folder = join(root, path)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'cgroup.procs'), listed.map((pid) => `${pid}\n`).join(''))
  return folder
}

const cgroupfs = (uid: string): string => `kubepods/besteffort/pod${uid}`
const systemd = (uid: string): string =>
  `kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${uid.replaceAll('-', '_')}.slice`

interface Layout {
  readonly version: 1 | 2
  readonly hierarchies: readonly string[]
  readonly of: (uid: string) => string
}

const V1 = ['cpu,cpuacct', 'memory', 'pids', 'systemd']

/** Every way in which kubelet and a runtime lay cgroups out: where pods lie, and how they are named. */
const LAYOUTS: Readonly<Record<string, Layout>> = {
  'v2, cgroupfs': { version: 2, hierarchies: [''], of: cgroupfs },
  'v2, systemd': { version: 2, hierarchies: [''], of: systemd },
  'v2, cgroupfs, guaranteed': { version: 2, hierarchies: [''], of: (uid) => `kubepods/pod${uid}` },
  'v2, systemd, guaranteed': {
    version: 2,
    hierarchies: [''],
    of: (uid) => `kubepods.slice/kubepods-pod${uid.replaceAll('-', '_')}.slice`,
  },
  'v1, cgroupfs': { version: 1, hierarchies: V1, of: cgroupfs },
  'v1, systemd': { version: 1, hierarchies: V1, of: systemd },
  'a kubelet with a cgroup root of its own': {
    version: 2,
    hierarchies: [''],
    of: (uid) => `kubelet/${cgroupfs(uid)}`,
  },
  'a kubelet with a slice of its own': {
    version: 2,
    hierarchies: [''],
    of: (uid) =>
      `kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice`,
  },
  'a node that is a container': {
    version: 1,
    hierarchies: V1,
    of: (uid) => `docker/abcdef/kubelet/${cgroupfs(uid)}`,
  },
}

interface Tree {
  readonly root: string
  /** Puts that many processes of another container there. */
  readonly add: (uid: string, below: string, processes: number) => void
}

/** A node with us on it, in a container one level below our pod. */
function treeOf(t: ExecutionContext, name: keyof typeof LAYOUTS): Tree {
  const root = tempDir(t)
  const layout = LAYOUTS[name]
  if (layout === undefined) throw new Error('no such layout')
  const put = (uid: string, below: string, listed: readonly number[], tasks: number): void => {
    for (const hierarchy of layout.hierarchies) {
      const parts = join(layout.of(uid), below).split('/')
      for (let depth = 0; depth < parts.length; depth += 1) {
        const path = join(hierarchy, ...parts.slice(0, depth))
        if (!existsSync(join(root, path, 'cgroup.procs'))) cgroup(root, path)
      }
      cgroup(root, join(hierarchy, ...parts), listed)
      say(join(root, hierarchy, layout.of(uid)), layout.version, tasks)
    }
  }
  put(OWN, 'host-container', [process.pid], 11)
  return {
    root,
    add(uid, below, processes) {
      const listed = layout.version === 2 ? Array.from({ length: processes }, () => 0) : []
      put(uid, below, listed, 3 * processes)
    },
  }
}

/** The kernel's word on a pod and all that is in it. */
function say(pod: string, version: 1 | 2, tasks: number): void {
  if (version === 2) {
    writeFileSync(join(pod, 'cgroup.events'), `populated ${tasks > 0 ? 1 : 0}\nfrozen 0\n`)
  } else if (pod.includes('/pids/')) writeFileSync(join(pod, 'pids.current'), `${tasks}\n`)
}

async function lifeOf(root: string, podUid = POD, ownPodUid: string | undefined = OWN) {
  return (await readPodCgroups({ root, ownPodUid })).lifeOf(podUid)
}

/** v1 says to a foreign pid namespace that there are processes, and not how many. */
function alive(layout: string, processes: number): PodLife {
  return { is: 'alive', processes: LAYOUTS[layout]?.version === 2 ? processes : 0 }
}

for (const layout of Object.keys(LAYOUTS)) {
  test(`${layout}: a process in a container's cgroup is alive`, async (t) => {
    const { root, add } = treeOf(t, layout)
    add(POD, 'sandbox', 0)
    add(POD, 'container/nested/deeper', 2)
    t.deepEqual(await lifeOf(root), alive(layout, 2))
  })

  test(`${layout}: a process in the pod's own cgroup is alive`, async (t) => {
    const { root, add } = treeOf(t, layout)
    add(POD, '', 1)
    t.deepEqual(await lifeOf(root), alive(layout, 1))
  })

  test(`${layout}: a pod whose cgroups hold no process is empty`, async (t) => {
    const { root, add } = treeOf(t, layout)
    add(POD, 'sandbox', 0)
    add(POD, 'container', 0)
    t.deepEqual(await lifeOf(root), { is: 'empty' })
  })

  test(`${layout}: a pod whose cgroup has gone is empty`, async (t) => {
    const { root } = treeOf(t, layout)
    t.deepEqual(await lifeOf(root), { is: 'empty' })
  })

  test(`${layout}: where we are not ourselves, nothing is known`, async (t) => {
    const { root } = treeOf(t, layout)
    t.deepEqual(await lifeOf(root, POD, '99999999-1111-4222-8333-444444444444'), BLIND)
  })

  test(`${layout}: where our own cgroup holds no process, nothing is known`, async (t) => {
    const { root, add } = treeOf(t, layout)
    add(OWN, 'host-container', 0)
    t.deepEqual(await lifeOf(root), BLIND)
  })

  test(`${layout}: a static pod is found by the hash that is its uid`, async (t) => {
    const { root, add } = treeOf(t, layout)
    add(STATIC, 'container', 1)
    t.deepEqual(await lifeOf(root, STATIC), alive(layout, 1))
  })
}

test('outside of a pod nothing is known', async (t) => {
  const { root } = treeOf(t, 'v2, cgroupfs')
  t.deepEqual(await (await readPodCgroups({ root, ownPodUid: undefined })).lifeOf(POD), BLIND)
})

test('where no cgroups are mounted nothing is known', async (t) => {
  t.deepEqual(await lifeOf(join(tempDir(t), 'nothing')), BLIND)
  t.deepEqual(await lifeOf(tempDir(t)), BLIND)
})

test("another pod's uid that ends in the same way is another pod", async (t) => {
  const { root, add } = treeOf(t, 'v2, systemd')
  add('21111111-2222-4333-8444-555555555555', 'container', 1)
  t.deepEqual(await lifeOf(root), { is: 'empty' })
})

test("a pod's cgroup of a driver that kubelet no longer uses counts as well", async (t) => {
  const { root, add } = treeOf(t, 'v2, systemd')
  add(POD, '', 0)
  cgroup(root, cgroupfs(POD), [0])
  t.deepEqual(await lifeOf(root), { is: 'alive', processes: 1 })
})

test('v1: from our pid namespace every list is empty, and that proves nothing', async (t) => {
  const { root, add } = treeOf(t, 'v1, cgroupfs')
  add(POD, 'container', 0)
  rmSync(join(root, 'pids', cgroupfs(POD), 'pids.current'))
  t.deepEqual(await lifeOf(root), UNREADABLE)
})

test('v1: without the controller pids nothing is known', async (t) => {
  const { root, add } = treeOf(t, 'v1, cgroupfs')
  add(POD, 'container', 0)
  rmSync(join(root, 'pids'), { recursive: true })
  t.deepEqual(await lifeOf(root), BLIND)
})

test('v1: a v2 hierarchy beside the others proves nothing', async (t) => {
  const { root } = treeOf(t, 'v1, cgroupfs')
  rmSync(join(root, 'pids'), { recursive: true })
  say(cgroup(root, `unified/${cgroupfs(OWN)}`, [process.pid]), 2, 1)
  t.deepEqual(await lifeOf(root), BLIND)
})

test('v1: a process that any hierarchy lists is alive', async (t) => {
  const { root, add } = treeOf(t, 'v1, cgroupfs')
  add(POD, 'container', 0)
  cgroup(root, `memory/${cgroupfs(POD)}/container`, [4711])
  t.deepEqual(await lifeOf(root), { is: 'alive', processes: 1 })
})

test('v1: a link to a hierarchy is not walked', async (t) => {
  const { root } = treeOf(t, 'v1, systemd')
  symlinkSync('cpu,cpuacct', join(root, 'cpu'))
  symlinkSync('/', join(root, 'everything'))
  t.deepEqual(await lifeOf(root), { is: 'empty' })
})

test('v2: a pod that the kernel calls populated is alive, wherever its process was just moved', async (t) => {
  const { root, add } = treeOf(t, 'v2, cgroupfs')
  add(POD, 'container', 0)
  say(join(root, cgroupfs(POD)), 2, 1)
  t.deepEqual(await lifeOf(root), { is: 'alive', processes: 0 })
})

for (const [what, text] of [
  ['is not there', undefined],
  ['is empty', ''],
  ['says something else', 'frozen 0\n'],
  ['says it in other words', 'populated none\n'],
] as const) {
  test(`v2: a pod whose word of the kernel's ${what} is unknown`, async (t) => {
    const { root, add } = treeOf(t, 'v2, systemd')
    add(POD, 'container', 0)
    const file = join(root, systemd(POD), 'cgroup.events')
    if (text === undefined) rmSync(file)
    else writeFileSync(file, text)
    t.deepEqual(await lifeOf(root), UNREADABLE)
  })
}

for (const layout of ['v2, cgroupfs', 'v1, cgroupfs'] as const) {
  test(`${layout}: what a pod has nested, however deep, does not hide its end or its life`, async (t) => {
    const { root, add } = treeOf(t, layout)
    const deep = Array.from({ length: 40 }, () => 'x').join('/')
    add(POD, deep, 0)
    t.deepEqual(await lifeOf(root), { is: 'empty' })
    add(POD, deep, 1)
    t.is((await lifeOf(root)).is, 'alive')
  })
}

test('of a pod with thousands of cgroups no more than a thousand are counted', async (t) => {
  const { root, add } = treeOf(t, 'v2, cgroupfs')
  add(POD, '', 1)
  for (let index = 0; index < 1_500; index += 1) {
    cgroup(root, `${cgroupfs(POD)}/wide-${index}`, [0])
  }
  const life = await lifeOf(root)
  t.true(life.is === 'alive' && life.processes >= 900 && life.processes <= 1_001)
  say(join(root, cgroupfs(POD)), 2, 0)
  t.deepEqual(await lifeOf(root), { is: 'empty' })
})

test('a cgroup whose list of processes is missing does not outweigh the word of the kernel', async (t) => {
  const { root, add } = treeOf(t, 'v2, cgroupfs')
  add(POD, 'container', 0)
  rmSync(join(root, cgroupfs(POD), 'container/cgroup.procs'))
  t.deepEqual(await lifeOf(root), { is: 'empty' })
})

test('a pod whose cgroup goes while it is looked at is unknown, and empty with the next look', async (t) => {
  const { root, add } = treeOf(t, 'v2, cgroupfs')
  add(POD, 'container', 0)
  const cgroups = await readPodCgroups({ root, ownPodUid: OWN })
  rmSync(join(root, cgroupfs(POD)), { recursive: true })
  t.deepEqual(await cgroups.lifeOf(POD), UNREADABLE)
  t.deepEqual(await lifeOf(root), { is: 'empty' })
})

test('what lives in a pod is read anew with each question', async (t) => {
  const { root, add } = treeOf(t, 'v1, systemd')
  add(POD, 'container', 0)
  const cgroups = await readPodCgroups({ root, ownPodUid: OWN })
  t.deepEqual(await cgroups.lifeOf(POD), { is: 'empty' })
  add(POD, 'container', 1)
  t.is((await cgroups.lifeOf(POD)).is, 'alive')
})

test('a tree that is nested too deeply leaves every pod unknown', async (t) => {
  const { root } = treeOf(t, 'v2, cgroupfs')
  cgroup(root, Array.from({ length: 40 }, () => 'x').join('/'))
  t.deepEqual(await lifeOf(root), UNREADABLE)
})

test('what another pod has nested into its own cgroup is not taken for a pod', async (t) => {
  const { root, add } = treeOf(t, 'v2, cgroupfs')
  add(STATIC, `container/kubepods/pod${POD}`, 1)
  t.deepEqual(await lifeOf(root), { is: 'empty' })
})

test('a word of the kernel that cannot be read leaves the pod unknown', async (t) => {
  const { root, add } = treeOf(t, 'v2, cgroupfs')
  add(POD, 'container', 0)
  const file = join(root, cgroupfs(POD), 'cgroup.events')
  rmSync(file)
  // Not even root reads a folder as a file.
  mkdirSync(file)
  t.deepEqual(await lifeOf(root), UNREADABLE)
})

import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

import type { Figure } from '../figures/figure.ts'
import { inBatches } from '../node/bench-objects.ts'
import type { LatchkeyNode } from '../node/latchkey-node.ts'
import { findMemoryGroups, MemoryGroup } from '../node/memory-group.ts'
import { memoryOf } from '../node/process-costs.ts'
import type { Row } from '../row.ts'
import type { SealedWorld } from '../worlds/sealed-world.ts'

const USUAL = 110
const PUBLISHES_AT_ONCE = 20
const KIB = 1024
const MIB = 1024 * KIB

/** Bytes, by what is counted and of whom. */
interface Sample {
  readonly volumes: number
  readonly host: Counted
  readonly daemon: Counted
}

interface Counted {
  readonly rss: number
  readonly pss: number
  /** 0 where no groups can be made. */
  readonly workingSet: number
}

type Groups = { readonly host: MemoryGroup; readonly daemon: MemoryGroup } | undefined

export const memory: Row<SealedWorld> = {
  name: 'memory',
  title: 'Memory of the host side, the daemon and both',
  compares:
    'RSS and PSS of the processes and the working set of their control groups, with 0, 110 and 1,000 volumes, each of a pod with a ' +
    'Secret and a service account of its own (2 files), some time after the last publish; against an idle bare node process. ' +
    "The host side's working set holds the files themselves, five pages a volume.",
  needs: ['root', 'api server'],
  async measure(world) {
    const parent = findMemoryGroups()
    const bare = await measureBareNode(parent)
    const groups = parent === undefined ? undefined : makeGroups(parent)
    const samples = await fill(world, groups, [0, USUAL, world.scale(1000, 200)])
    await world.clear()
    groups?.host.remove()
    groups?.daemon.remove()
    return [...samples.flatMap((sample) => figuresOf(sample, bare)), ...slopes(samples)]
  },
}

/** Mounts more and more volumes, and looks at both sides at each of these counts. */
async function fill(
  world: SealedWorld,
  groups: Groups,
  counts: readonly number[],
): Promise<readonly Sample[]> {
  const { objects } = await world.cluster()
  const node = await world.startNode(groups)
  const samples: Sample[] = []
  let mounted = 0
  for (const count of counts) {
    const pods = await objects.makePods(count - mounted, 'each its own')
    node.kubelet.prepare(pods)
    await inBatches(pods, PUBLISHES_AT_ONCE, (pod) => node.kubelet.publish(pod))
    mounted = count
    await sleep(world.scale(30_000, 5_000))
    samples.push(look(node, groups, count))
  }
  return samples
}

function look({ hostPid, daemonPid }: LatchkeyNode, groups: Groups, volumes: number): Sample {
  return {
    volumes,
    host: { ...memoryOf(hostPid), workingSet: groups?.host.workingSetBytes() ?? 0 },
    daemon: { ...memoryOf(daemonPid), workingSet: groups?.daemon.workingSetBytes() ?? 0 },
  }
}

async function measureBareNode(parent: string | undefined): Promise<Counted> {
  const group = parent === undefined ? undefined : new MemoryGroup(parent, `${NAME}-bare`)
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' })
  const pid = child.pid ?? 0
  group?.add(pid)
  await sleep(2_000)
  const counted = { ...memoryOf(pid), workingSet: group?.workingSetBytes() ?? 0 }
  const ended = new Promise((resolve) => child.once('close', resolve))
  child.kill('SIGKILL')
  await ended
  group?.remove()
  return counted
}

const NAME = `latchkey-bench-${process.ppid}`

function makeGroups(parent: string): Groups {
  return {
    host: new MemoryGroup(parent, `${NAME}-host`),
    daemon: new MemoryGroup(parent, `${NAME}-daemon`),
  }
}

function figuresOf({ volumes, host, daemon }: Sample, bare: Counted): readonly Figure[] {
  const both = add(host, daemon)
  const parts = [
    ['host', host, bare],
    ['daemon', daemon, bare],
    ['both', both, add(bare, bare)],
  ] as const
  const kinds = [
    ['RSS', 'rss'],
    ['PSS', 'pss'],
    ['working set', 'workingSet'],
  ] as const
  return parts.flatMap(([who, counted, beside]) =>
    kinds
      .filter(([, kind]) => counted[kind] > 0)
      .map(([label, kind]) => ({
        name: `${who}, ${volumes} volumes, ${label}`,
        unit: 'MiB',
        ours: counted[kind] / MIB,
        theirs: beside[kind] / MIB,
        ...(who === 'both' && volumes === USUAL && kind === 'workingSet' && { goal: SMALL }),
      })),
  )
}

const SMALL = { of: 'ours', is: 'under', bound: 60 } as const
const FLAT = { of: 'ours', is: 'at most', bound: 40 } as const

/** What a further volume costs, between the usual number and the largest. */
function slopes(samples: readonly Sample[]): readonly Figure[] {
  const [, usual, most] = samples
  if (usual === undefined || most === undefined) return []
  const slope = (kind: keyof Counted): number => {
    const grown = add(most.host, most.daemon)[kind] - add(usual.host, usual.daemon)[kind]
    return grown / KIB / (most.volumes - usual.volumes)
  }
  const figures = [
    { name: 'a further volume, both, PSS', unit: 'KiB', ours: slope('pss'), goal: FLAT },
  ]
  if (usual.host.workingSet === 0) return figures
  const name = 'a further volume, both, working set'
  return [...figures, { name, unit: 'KiB', ours: slope('workingSet'), goal: FLAT }]
}

function add(a: Counted, b: Counted): Counted {
  return { rss: a.rss + b.rss, pss: a.pss + b.pss, workingSet: a.workingSet + b.workingSet }
}

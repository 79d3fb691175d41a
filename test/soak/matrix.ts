import { until } from '../support/until.ts'
import type { SideName } from './bundle.ts'
import { describeFinding, type Finding } from './findings.ts'
import { restart } from './recovery.ts'
import { SIDES } from './side-pair.ts'
import type { CrashPlan } from './sides/crash-points.ts'
import type { Member } from './soak-pods.ts'
import type { World } from './world.ts'

/** Who dies at a point: the side that came to it, the other one, or both. */
export const VICTIMS = ['self', 'other', 'both'] as const

export type Victims = (typeof VICTIMS)[number]

/** One operation, and the points of one side on the way through it. */
export interface Row {
  readonly operation: Operation
  readonly side: SideName
  readonly scope: string
}

export type Operation = 'publish' | 'swap' | 'unpublish' | 'republish' | 'restart'

export const ROWS: readonly Row[] = [
  ...rows('publish', 'host', ['publish', 'stream', 'call']),
  ...rows('swap', 'host', ['swap', 'stream', 'prune']),
  ...rows('unpublish', 'host', ['unpublish', 'stream', 'call']),
  ...rows('republish', 'host', ['stream', 'call']),
  ...rows('restart', 'host', ['start', 'adopt', 'stream', 'call']),
  ...rows('publish', 'daemon', ['stream', 'kube']),
  ...rows('swap', 'daemon', ['stream', 'kube']),
  ...rows('unpublish', 'daemon', ['stream']),
  ...rows('republish', 'daemon', ['stream', 'kube']),
  ...rows('restart', 'daemon', ['start', 'stream', 'kube']),
]

/** A bound only; the longest row has some fifty. */
const MAX_POINTS = 200
const VOLUMES = 3
const SECRETS = ['one', 'two', 'three', 'four'] as const
const FS_GROUP = 2000
const QUIET_LOOKS = 3
const QUIET_WITHIN_MS = 60_000
const SCOPES_OF_FILES: ReadonlySet<string> = new Set(['publish', 'swap', 'prune', 'unpublish'])
/** By which event the daemon has everything, and how often that comes. */
const LAST_HEARD: Readonly<
  Partial<Record<Operation, { readonly event: string; readonly times: number }>>
> = {
  publish: { event: 'stream received committed', times: 1 },
  swap: { event: 'stream received committed', times: 1 },
  unpublish: { event: 'stream received unmounted', times: 1 },
  republish: { event: 'kube review answered', times: VOLUMES },
}
const LOOK_EVERY_MS = 5

/** One crash: where, and what was wrong ten seconds after the restart. */
export interface Crash {
  /** Such as `swap: swap.7 renameSync`. */
  readonly point: string
  readonly findings: readonly Finding[]
}

/** Every point of a row with one of the three, and the row with all of them: a third of the whole matrix. */
export function takeTurns(nth: number): Victims {
  return VICTIMS[nth % VICTIMS.length] ?? 'both'
}

/**
 * Crashes ahead of the first point of a row, of the second and so on, until the operation gets through, or
 * something is found.
 */
export async function crashThrough(
  world: World,
  row: Row,
  victimsAt: (nth: number) => Victims,
): Promise<readonly Crash[]> {
  const crashes: Crash[] = []
  for (let nth = 1; nth <= MAX_POINTS; nth += 1) {
    const crash = await crashAt(world, row, nth, victimsAt(nth))
    if (crash === undefined) return crashes
    crashes.push(crash)
    if (crash.findings.length > 0) return crashes
  }
  throw new Error(`${row.operation}: more than ${MAX_POINTS} points in ${row.scope}`)
}

/** undefined: the operation got through without coming to such a point. */
async function crashAt(
  world: World,
  row: Row,
  nth: number,
  victims: Victims,
): Promise<Crash | undefined> {
  await beCalm(world)
  const { operation, side, scope } = row
  if (operation === 'restart') await killFirst(world, side)
  const doomed = victimsOf(side, victims)
  const planFor = (own: number): CrashPlan => {
    const others = doomed
      .filter((each) => each !== side)
      .map((each) => world.sides.process(each).pid)
    return { scope, nth, pids: doomed.includes(side) ? [...others, own] : others }
  }
  const heard = await hearingOf(world, operation)
  const isOver = await begin(world, row, nth, planFor)
  const isStruck = (): boolean => doomed.some((each) => world.sides.process(each).isDead)
  await world.until(() => isStruck() || isOver(), `${operation} to end, or somebody to die of it`)
  if (!isStruck()) await untilQuiet(world, heard)
  const armed = world.sides.process(side)
  const disarmed = await armed.disarm()
  if (disarmed?.hasHit === false) return undefined
  await Promise.all(doomed.map((each) => world.sides.process(each).exited))
  const point = `${operation}: ${armed.crash ?? 'died elsewhere'}`
  const findings = await recover(world, row)
  return { point, findings }
}

/** Three volumes that both sides know well, and nothing out of order. */
async function beCalm(world: World): Promise<void> {
  for (const member of world.pods.living.slice(VOLUMES)) world.pods.delete(member)
  while (world.pods.living.length < VOLUMES) addPod(world)
  await inOrder(world)
  const strangers = world.pods.living.filter(
    ({ tokensOf }) => tokensOf !== world.sides.process('host'),
  )
  if (strangers.length > 0) await world.republish(strangers)
  // What arrives now arrives over a stream: whatever the last crash broke is mended.
  changeAll(world)
  await inOrder(world)
}

async function inOrder(world: World): Promise<void> {
  const findings = await world.converge()
  if (findings.length > 0) throw new Error(findings.map(describeFinding).join('\n'))
}

async function killFirst(world: World, side: SideName): Promise<void> {
  await world.sides.kill(side)
  await world.bury()
  changeAll(world)
}

/** Starts the operation under the plan; the answer tells whether it is over. */
async function begin(
  world: World,
  { operation, side }: Row,
  nth: number,
  planFor: (pid: number) => CrashPlan,
): Promise<() => boolean> {
  const isInOrder = (): boolean => world.isInOrder
  if (operation === 'restart') {
    let isStarted = false
    void world.sides.start(side, planFor).then(() => {
      isStarted = true
    })
    return () => isStarted && isInOrder()
  }
  await world.sides.arm(side, planFor(world.sides.process(side).pid))
  const member = world.pods.living[nth % VOLUMES]
  if (member === undefined) throw new Error('there is no volume')
  if (operation === 'publish') addPod(world)
  else if (operation === 'swap') world.secrets.change(member.secret)
  else if (operation === 'unpublish') world.pods.delete(member)
  else {
    let isAnswered = false
    // With new tokens, which a republish by a kubelet that goes on would not bring.
    const again = world.cluster.kubelet.restart().then(() => world.republish())
    again.then(
      () => {
        isAnswered = true
      },
      () => undefined,
    )
    return () => isAnswered && isInOrder()
  }
  return isInOrder
}

function addPod(world: World): Member {
  const inUse = new Set(world.pods.living.map(({ secret }) => secret))
  const secret = SECRETS.find((name) => !inUse.has(name)) ?? SECRETS[0]
  // Every other volume with a group of its own.
  return world.pods.add(secret, world.pods.count % 2 === 0 ? undefined : FS_GROUP)
}

/**
 * Restarts who is dead and waits for the node to be in order again. Every Secret changes: mostly while they are
 * dead, but where files were being written only afterwards, for equal contents have to end up in order, too.
 */
async function recover(world: World, { scope }: Row): Promise<readonly Finding[]> {
  const dead = await world.bury()
  const isWriting = SCOPES_OF_FILES.has(scope)
  if (!isWriting) changeAll(world)
  const findings = [...(await restart(world, dead)), ...(await world.converge())]
  if (!isWriting || findings.length > 0) return findings
  changeAll(world)
  return world.converge()
}

function changeAll(world: World): void {
  for (const secret of new Set(world.pods.living.map((member) => member.secret)))
    world.secrets.change(secret)
}

/** Answers whether the daemon has heard all of an operation: it trails behind what kubelet is told. */
async function hearingOf(world: World, operation: Operation): Promise<() => Promise<boolean>> {
  const last = LAST_HEARD[operation]
  if (last === undefined) return () => Promise.resolve(true)
  const { event, times } = last
  const count = async (): Promise<number> =>
    (await world.sides.process('daemon').seen())[event] ?? 0
  const before = await count()
  return async () => (await count()) >= before + times
}

/** What trails behind an operation has been said, and nothing more is. */
async function untilQuiet(world: World, hasHeard: () => Promise<boolean>): Promise<void> {
  let before = ''
  let looks = 0
  const isQuiet = async (): Promise<boolean> => {
    const now = JSON.stringify(
      await Promise.all(SIDES.map((side) => world.sides.process(side).seen())),
    )
    looks = now === before && (await hasHeard()) ? looks + 1 : 0
    before = now
    return looks >= QUIET_LOOKS || SIDES.some((side) => world.sides.process(side).isDead)
  }
  const what = 'both sides to fall quiet'
  await until(isQuiet, { timeoutMs: QUIET_WITHIN_MS, everyMs: LOOK_EVERY_MS, what })
}

function victimsOf(side: SideName, victims: Victims): readonly SideName[] {
  if (victims === 'both') return SIDES
  return SIDES.filter((each) => (each === side) === (victims === 'self'))
}

function rows(operation: Operation, side: SideName, scopes: readonly string[]): readonly Row[] {
  return scopes.map((scope) => ({ operation, side, scope }))
}

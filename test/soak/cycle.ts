import { setTimeout as delay } from 'node:timers/promises'
import { until } from '../support/until.ts'
import type { Chance } from './chance.ts'
import type { CyclePlan, Operation } from './cycle-plan.ts'
import type { Finding } from './findings.ts'
import { restart } from './recovery.ts'
import type { Member } from './soak-pods.ts'
import type { World } from './world.ts'

const SECRETS = ['one', 'two', 'three', 'four'] as const
const FS_GROUP = 2000
const MIN_VOLUMES = 3
const MAX_VOLUMES = 6
/** kubelet comes by at least that often. */
const VISIT_EVERY_MS = 60_000
/** A point that is not reached by then is not on the way of this operation. */
const POINT_WITHIN_MS = 700
const OUTAGE_MS = 50
/** By then some lease or session was renewed or replaced. */
const TENDED_WITHIN_MS = 4_000

/** One operation with at least one kill -9 in it; answers what is wrong when all should be well again. */
export async function runCycle(
  world: World,
  plan: CyclePlan,
  chance: Chance,
): Promise<readonly Finding[]> {
  await keepVisited(world)
  if (plan.moment.kind === 'before') await world.sides.kill(...plan.victims)
  else if (plan.moment.kind === 'point') await armPoint(world, plan)
  const finish = begin(world, plan.operation, chance)
  await strike(world, plan)
  const dead = await world.bury()
  act(world, plan.meanwhile, chance)
  await finish()
  const misadopted = await restart(world, dead)
  if (plan.againMs !== undefined) {
    await delay(plan.againMs)
    await world.sides.kill(...dead)
    await restart(world, await world.bury())
  }
  const findings = [...misadopted, ...(await world.converge())]
  if (findings.length === 0 && plan.isVisited) await world.republish()
  return findings
}

/** What a new world begins with. */
export async function populate(world: World): Promise<readonly Finding[]> {
  while (world.pods.living.length < MIN_VOLUMES) add(world)
  return world.converge()
}

/** After the last pod nothing is left of any, not even where a death of the host has excused it for a while. */
export async function depopulate(world: World): Promise<readonly Finding[]> {
  for (const member of world.pods.living) world.pods.delete(member)
  const findings = await world.converge()
  const { vault } = world
  if (vault === undefined || findings.length > 0) return findings
  await delay(vault.excusedForMs)
  return world.converge()
}

async function keepVisited(world: World): Promise<void> {
  const due = world.pods.living.filter(
    ({ visitedAtMs }) => Date.now() - visitedAtMs > VISIT_EVERY_MS,
  )
  if (due.length > 0) await world.republish(due)
}

async function armPoint(world: World, { moment, victims }: CyclePlan): Promise<void> {
  if (moment.kind !== 'point') return
  const { side, scope, nth } = moment
  // Itself last: nobody is killed by a process that is dead.
  const ordered = [...victims].sort((one) => (one === side ? 1 : -1))
  const pids = ordered.map((each) => world.sides.process(each).pid)
  await world.sides.arm(side, { scope, nth, pids })
}

/** Waits for the moment, and kills whom no point has killed. */
async function strike(world: World, { operation, moment, victims }: CyclePlan): Promise<void> {
  if (moment.kind === 'later') await delay(moment.delayMs)
  if (moment.kind === 'point') {
    const isTended = operation === 'change' && world.vault !== undefined
    const isOver = (): boolean =>
      victims.some((side) => world.sides.process(side).isDead) || (!isTended && world.isInOrder)
    const timeoutMs = isTended ? TENDED_WITHIN_MS : POINT_WITHIN_MS
    const bounds = { timeoutMs, everyMs: 5, what: 'the point' }
    await until(isOver, bounds).catch(() => undefined)
  }
  await world.sides.kill(...victims)
  // A plan that did not come to pass names processes that are dead now, and numbers are given again.
  if (moment.kind === 'point') await world.sides.process(moment.side).disarm()
}

/** The answer ends what has to be ended before anybody can recover. */
function begin(world: World, operation: Operation, chance: Chance): () => Promise<void> {
  const { kubelet, api } = world.cluster
  const calm = (work: Promise<unknown>): (() => Promise<void>) => {
    const settled = work.catch(() => undefined)
    return async () => {
      await settled
    }
  }
  switch (operation) {
    case 'restart':
      return calm(kubelet.restart())
    case 'republish':
      // Goes unanswered as long as somebody is dead; nobody waits for it.
      void world.republish().catch(() => undefined)
      return () => Promise.resolve()
    case 'outage': {
      const down = api.down()
      act(world, 'change-all', chance)
      return async () => {
        await down
        await delay(chance.between(0, OUTAGE_MS))
        await api.up()
      }
    }
    default:
      act(world, operation, chance)
      return () => Promise.resolve()
  }
}

function act(world: World, what: CyclePlan['meanwhile'] | Operation, chance: Chance): void {
  const { living } = world.pods
  if (what === 'add' && living.length < MAX_VOLUMES) add(world, chance)
  else if (what === 'delete' && living.length > MIN_VOLUMES) world.pods.delete(chance.pick(living))
  else if (what === 'change-all')
    for (const secret of world.secrets.names) world.secrets.change(secret)
  else if (what !== 'nothing') world.secrets.change(chance.pick(living).secret)
}

function add(world: World, chance?: Chance): Member {
  const secret = chance?.pick(SECRETS) ?? SECRETS[world.pods.count % SECRETS.length] ?? 'one'
  return world.pods.add(secret, chance?.isHit(0.5) === true ? FS_GROUP : undefined)
}

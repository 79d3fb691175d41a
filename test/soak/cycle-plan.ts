import type { SideName } from './bundle.ts'
import type { Chance } from './chance.ts'
import { SIDES } from './side-pair.ts'

export const OPERATIONS = ['add', 'change', 'delete', 'republish', 'restart', 'outage'] as const

export type Operation = (typeof OPERATIONS)[number]

/** When the blow falls. */
export type Moment =
  | { readonly kind: 'before' }
  | { readonly kind: 'later'; readonly delayMs: number }
  | {
      readonly kind: 'point'
      readonly side: SideName
      readonly scope: string
      readonly nth: number
    }

/** Everything that a cycle leaves to chance, drawn at its start. */
export interface CyclePlan {
  readonly operation: Operation
  readonly victims: readonly SideName[]
  readonly moment: Moment
  /** What happens while they are dead. */
  readonly meanwhile: 'nothing' | 'change' | 'change-all' | 'delete' | 'add'
  /** The restarted are killed once more, that long after their start. */
  readonly againMs: number | undefined
  /** kubelet comes by at the end, as it does every minute. */
  readonly isVisited: boolean
}

const WEIGHTS: Readonly<Record<Operation, number>> = {
  add: 25,
  change: 30,
  delete: 20,
  republish: 10,
  restart: 8,
  outage: 7,
}

/** Where a side may be struck, with about as many points as it has there. */
const SCOPES: Readonly<Record<SideName, Readonly<Record<string, number>>>> = {
  host: { publish: 45, swap: 40, unpublish: 18, prune: 8, stream: 8, call: 4 },
  daemon: { kube: 6, stream: 6 },
}

const MAX_DELAY_MS = 60
const MAX_AGAIN_MS = 120
/** A login, a lease and a commit take that long. */
const MAX_LEASING_DELAY_MS = 200

export function drawCycle(chance: Chance): CyclePlan {
  const operation = chance.weigh(WEIGHTS)
  const victims = { host: ['host'], daemon: ['daemon'], both: SIDES } as const
  return {
    operation,
    victims: victims[chance.weigh({ host: 52, daemon: 30, both: 18 })],
    moment: drawMoment(chance, operation),
    meanwhile: chance.weigh({ nothing: 25, change: 20, 'change-all': 35, delete: 10, add: 10 }),
    againMs: chance.isHit(0.08) ? chance.between(0, MAX_AGAIN_MS) : undefined,
    isVisited: chance.isHit(0.6),
  }
}

const LEASING_WEIGHTS: Readonly<Partial<Record<Operation, number>>> = {
  add: 40,
  // Nothing is done: leases and sessions are renewed and replaced meanwhile.
  change: 15,
  delete: 30,
  republish: 10,
  restart: 5,
}
const LEASING_SCOPES: Readonly<Record<string, number>> = { vault: 14, stream: 16, kube: 3 }

/** As `drawCycle`, for pods with users of a Vault; a host that dies loses the bookmarks. */
export function drawLeasingCycle(chance: Chance, isHostSpared: boolean): CyclePlan {
  const operation = chance.weigh(LEASING_WEIGHTS as Record<Operation, number>)
  const victims = { host: ['host'], daemon: ['daemon'], both: SIDES } as const
  const whom = chance.weigh({ host: 30, daemon: 50, both: 20 })
  const kind = chance.weigh({ before: 10, later: 30, point: 60 })
  const scope = chance.weigh(LEASING_SCOPES)
  const nth = chance.between(1, LEASING_SCOPES[scope] ?? 1)
  const delayMs = chance.between(0, MAX_LEASING_DELAY_MS)
  const point = { kind: 'point', side: 'daemon', scope, nth } as const
  return {
    operation,
    victims: victims[isHostSpared ? 'daemon' : whom],
    moment: kind === 'point' ? point : kind === 'later' ? { kind, delayMs } : { kind: 'before' },
    meanwhile: chance.weigh({ nothing: 60, delete: 20, add: 20 }),
    againMs: chance.isHit(0.2) ? chance.between(0, MAX_AGAIN_MS) : undefined,
    isVisited: chance.isHit(0.3),
  }
}

export function describePlan(plan: CyclePlan): string {
  const { operation, victims, moment, meanwhile, againMs } = plan
  const when =
    moment.kind === 'before'
      ? 'before it'
      : moment.kind === 'later'
        ? `${moment.delayMs} ms after it`
        : `at point ${moment.nth} of ${moment.scope} on the ${moment.side}`
  const again = againMs === undefined ? '' : `, again after ${againMs} ms`
  return `${operation}, ${victims.join(' and ')} killed ${when}, meanwhile ${meanwhile}${again}`
}

function drawMoment(chance: Chance, operation: Operation): Moment {
  const kind = chance.weigh({ before: 10, later: 35, point: 55 })
  if (kind === 'before') return { kind }
  if (kind === 'later') return { kind, delayMs: chance.between(0, MAX_DELAY_MS) }
  const side = chance.weigh({ host: 70, daemon: 30 })
  const scope = scopeFor(chance, side, operation)
  return { kind, side, scope, nth: chance.between(1, SCOPES[side][scope] ?? 1) }
}

/** One that the operation comes through, mostly. */
function scopeFor(chance: Chance, side: SideName, operation: Operation): string {
  if (side === 'daemon') return chance.weigh({ kube: 1, stream: 1 })
  const own: Readonly<Partial<Record<Operation, Readonly<Record<string, number>>>>> = {
    add: { publish: 6, stream: 2, call: 1 },
    change: { swap: 5, prune: 2, stream: 2 },
    delete: { unpublish: 6, stream: 1, call: 1 },
  }
  return chance.weigh(own[operation] ?? { stream: 2, call: 2, swap: 1 })
}

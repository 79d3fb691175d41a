import { setTimeout as sleep } from 'node:timers/promises'

import type { Figure, Goal } from '../figures/figure.ts'
import { inBatches, type BenchPod } from '../node/bench-objects.ts'
import type { AuditedRequest } from '../node/control-plane.ts'
import type { Row } from '../row.ts'
import type { SealedWorld } from '../worlds/sealed-world.ts'

const VOLUMES = 20
const SETTLE_MS = 5_000
/** Longer than a watch lives. */
const WINDOW_MS = 345_000
const HOUR_MS = 3_600_000
const REPUBLISH_MS = 60_000
/** kubelet asks for new tokens when four fifths of their 10 minutes are over. */
const TOKEN_SETS_AN_HOUR = 7.5
const AT_ONCE = 10

const NONE: Goal = { of: 'ours', is: 'at most', bound: 0 }

export const apiRequests: Row<SealedWorld> = {
  name: 'api-requests',
  title: 'API requests per volume and hour, nothing changing',
  compares:
    "By the API server's audit log, 20 volumes with a Secret each: what fresh tokens cost is counted by giving every volume a new set once " +
    '(kubelet does it 7.5 times an hour with tokens of 10 minutes), the rest while they are published again each minute ' +
    'for longer than a watch lives (5 minutes, give or take a tenth), scaled to an hour.',
  needs: ['root', 'api server'],
  async measure(world) {
    const { objects, plane } = await world.cluster()
    const { kubelet } = await world.startNode()
    const pods = await objects.makePods(VOLUMES, 'each its own')
    kubelet.prepare(pods)
    const first = plane.latchkeyRequests().length
    await inBatches(pods, AT_ONCE, (pod) => kubelet.publish(pod))
    await sleep(SETTLE_MS)
    const before = plane.latchkeyRequests().length
    const renewed: BenchPod[] = []
    for (const pod of pods) renewed.push({ ...pod, tokens: await objects.renewTokens(pod) })
    await inBatches(renewed, AT_ONCE, (pod) => kubelet.publish(pod))
    await sleep(SETTLE_MS)
    const windowBegan = plane.latchkeyRequests().length
    const reviews = plane.latchkeyRequests().slice(before).filter(isReview).length / VOLUMES
    const windowMs = world.scale(WINDOW_MS, 10_000)
    for (let ms = 0; ms < windowMs; ms += REPUBLISH_MS) {
      await sleep(Math.min(REPUBLISH_MS, windowMs - ms))
      await inBatches(renewed, AT_ONCE, (pod) => kubelet.publish(pod))
    }
    const all = plane.latchkeyRequests()
    const inWindow = all.slice(windowBegan)
    const anHour = (is: (request: AuditedRequest) => boolean): number =>
      (inWindow.filter(is).length / VOLUMES) * (HOUR_MS / windowMs)
    return [
      {
        name: 'reviews for a fresh set of tokens',
        unit: '',
        ours: reviews,
        goal: { of: 'ours', is: 'at most', bound: 1 },
      },
      { name: 'reviews an hour', unit: '', ours: reviews * TOKEN_SETS_AN_HOUR },
      { name: 'reviews of known tokens an hour', unit: '', ours: anHour(isReview), goal: NONE },
      { name: 'reads an hour', unit: '', ours: anHour(isRead), goal: NONE },
      { name: 'writes an hour', unit: '', ours: anHour(isWrite), goal: NONE },
      ...watches(all.slice(first)),
    ]
  },
}

/** By how long one lived that was seen to be opened again; none was where the window was short. */
function watches(requests: readonly AuditedRequest[]): readonly Figure[] {
  const opened = Map.groupBy(requests.filter(isWatch), ({ objectRef }) => objectRef?.name)
  const livesMs = [...opened.values()].flatMap((of) =>
    of.slice(1).map((request, index) => timeOf(request) - timeOf(of[index])),
  )
  if (livesMs.length === 0) return []
  const meanMs = livesMs.reduce((sum, ms) => sum + ms, 0) / livesMs.length
  return [{ name: 'watches opened again an hour', unit: '', ours: HOUR_MS / meanMs, goal: NONE }]
}

function timeOf(request: AuditedRequest | undefined): number {
  return Date.parse(request?.requestReceivedTimestamp ?? '')
}

function isReview({ objectRef }: AuditedRequest): boolean {
  return objectRef?.resource === 'tokenreviews'
}

function isRead({ verb }: AuditedRequest): boolean {
  return verb === 'get' || verb === 'list'
}

function isWatch({ verb }: AuditedRequest): boolean {
  return verb === 'watch'
}

/** A TokenReview is asked by a POST, but nothing is stored. */
function isWrite(request: AuditedRequest): boolean {
  return !isReview(request) && !isRead(request) && !isWatch(request)
}

import type { VolumeStatus__Output } from '../wire/gen/latchkey/mount/v1/VolumeStatus.ts'
import { oneLine, renderTable, type Cell, type Screen, type Tone } from './table.ts'
import { readTargetPath } from '../core/target-path.ts'
import { timespan } from '../core/timespan.ts'

export const STATE_WORDS = ['pending', 'fresh', 'stale', 'waiting', 'ending', 'stranded'] as const

export type StateWord = (typeof STATE_WORDS)[number]

/**
 * One volume as `latchkey list --output json` has it. Every field is always there; null where it is not
 * known or does not apply. Times are RFC 3339, in UTC.
 */
export interface VolumeView {
  readonly namespace: string | null
  readonly pod: string | null
  readonly uid: string | null
  readonly serviceAccount: string | null
  /** Its name in the pod's spec. */
  readonly volume: string | null
  readonly volumeId: string
  readonly targetPath: string
  readonly state: StateWord | 'unknown'
  readonly generation: number | null
  /** When the pod got to see this generation. */
  readonly changedAt: string | null
  /** The last look that found everything as the pod sees it. */
  readonly checkedAt: string | null
  readonly nextLookAt: string | null
  /** Whether changes come by a watch; there is no next look then. */
  readonly watched: boolean
  readonly reason: string | null
  readonly message: string | null
}

const STATES: Readonly<Record<string, readonly [StateWord, Tone]>> = {
  VOLUME_PENDING: ['pending', 'warning'],
  VOLUME_FRESH: ['fresh', 'good'],
  VOLUME_STALE: ['stale', 'bad'],
  VOLUME_WAITING: ['waiting', 'warning'],
  VOLUME_ENDING: ['ending', 'warning'],
  VOLUME_STRANDED: ['stranded', 'bad'],
}

export function viewOf(status: VolumeStatus__Output): VolumeView {
  const { pod, targetPath, state, nextLookAtMs } = status
  const target = readTargetPath(targetPath)
  const word = STATES[state]?.[0] ?? 'unknown'
  const isServed = word === 'fresh' || word === 'stale'
  return {
    namespace: orNull(pod?.namespace),
    pod: orNull(pod?.name),
    uid: orNull(pod?.uid) ?? orNull(target?.podUid),
    serviceAccount: orNull(pod?.serviceAccount),
    volume: orNull(target?.volumeName),
    volumeId: status.volumeId,
    targetPath,
    state: word,
    generation: status.generation === 0 ? null : status.generation,
    changedAt: time(status.changedAtMs),
    checkedAt: time(status.checkedAtMs),
    nextLookAt: time(nextLookAtMs),
    watched: isServed && nextLookAtMs === 0,
    reason: orNull(status.reason),
    message: orNull(status.message),
  }
}

/** The table of `latchkey list`. */
export function volumeTable(views: readonly VolumeView[], nowMs: number, screen?: Screen): string {
  const hasReasons = views.some((view) => why(view) !== '')
  const head = ['POD', 'VOLUME', 'GENERATION', 'AGE', 'CHECKED', 'NEXT LOOK', 'STATE']
  const rows = views.map((view) => {
    const cells = [...plainCells(view, nowMs).map((text): Cell => ({ text })), stateCell(view)]
    return hasReasons ? [...cells, { text: why(view) }] : cells
  })
  return renderTable(hasReasons ? [...head, 'REASON'] : head, rows, screen)
}

function plainCells(view: VolumeView, nowMs: number): readonly string[] {
  const { changedAt, checkedAt } = view
  return [
    podCell(view),
    view.volume ?? '-',
    String(view.generation ?? '-'),
    changedAt === null ? '-' : timespan(nowMs - Date.parse(changedAt)),
    checkedAt === null ? '-' : `${timespan(nowMs - Date.parse(checkedAt))} ago`,
    nextLook(view, nowMs),
  ]
}

/** Of a volume that nobody has brought tokens for yet, only the pod's uid is known. */
function podCell({ namespace, pod, uid }: VolumeView): string {
  return pod === null ? `uid:${uid ?? '-'}` : `${namespace ?? ''}/${pod}`
}

function nextLook({ nextLookAt, watched }: VolumeView, nowMs: number): string {
  if (watched) return 'watched'
  if (nextLookAt === null) return '-'
  const inMs = Date.parse(nextLookAt) - nowMs
  return inMs <= 0 ? 'now' : `in ${timespan(inMs)}`
}

function stateCell({ state }: VolumeView): Cell {
  const tone = Object.values(STATES).find(([word]) => word === state)?.[1]
  return tone === undefined ? { text: state } : { text: state, tone }
}

/** The first line: those after it are commands, and have no place in a table. */
function why({ reason, message }: VolumeView): string {
  const [first = ''] = (message ?? '').split('\n', 1)
  return oneLine([reason, first].filter((part) => part !== null && part !== '').join(': '))
}

function orNull(text: string | undefined): string | null {
  return text === undefined || text === '' ? null : text
}

function time(ms: number): string | null {
  const date = new Date(ms)
  return ms === 0 || Number.isNaN(date.getTime()) ? null : date.toISOString()
}

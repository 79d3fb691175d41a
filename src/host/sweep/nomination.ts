import type { Witness } from '../../observability/host-metrics.ts'

/*
 * When a volume's pod seems to have ended, decided from what is seen of it look after look. Times are milliseconds of
 * the sweep's own count. Nothing here wipes: whoever is nominated has its processes looked for.
 */

const WITNESSES: readonly Witness[] = ['kubelet_record', 'api_server']

/** One look at one volume. */
export interface Sighting {
  /** See Attendance. */
  readonly visits: number
  readonly isRecordGone: boolean
  readonly isPodGone: boolean
}

/** What the looks so far come to. */
export interface Course {
  readonly visits: number
  /** When kubelet was first known to have been here that often. */
  readonly visitedMs: number
  /** When the daemon was last asked after the pod. */
  readonly askedMs: number | undefined
  /** Since when each witness has said so, look by look. */
  readonly since: Readonly<Partial<Record<Witness, number>>>
}

/** kubelet republishes every 60 to 90 s, and only for a driver that is away it waits longer, 122 s at most. */
const UNATTENDED_MS = 150_000

/** The daemon's token for the pod lives on for minutes only, and with it ends what the API server can tell. */
const ASK_AGAIN_MS = 30_000

/** A visit of kubelet's ends every nomination; one that is still said afterwards begins anew. */
export function follow(before: Course | undefined, seen: Sighting, nowMs: number): Course {
  const known = before?.visits === seen.visits ? before : undefined
  const since = (witness: Witness, says: boolean): Course['since'] =>
    says ? { [witness]: known?.since[witness] ?? nowMs } : {}
  return {
    visits: seen.visits,
    visitedMs: known?.visitedMs ?? nowMs,
    askedMs: known?.askedMs,
    since: {
      ...since('kubelet_record', seen.isRecordGone),
      ...since('api_server', seen.isPodGone),
    },
  }
}

/** 0 while kubelet comes by as it does for every pod that it runs. */
export function unattendedMs({ visitedMs }: Course, nowMs: number): number {
  const awayMs = nowMs - visitedMs
  return awayMs >= UNATTENDED_MS ? awayMs : 0
}

/** Reports whether the daemon should be asked after the pod now. */
export function isQuestionDue(course: Course, nowMs: number): boolean {
  const { askedMs } = course
  if (unattendedMs(course, nowMs) === 0) return false
  return askedMs === undefined || nowMs - askedMs >= ASK_AGAIN_MS
}

/** The witness that has said so for longest; undefined: nobody does. */
export function nominatedBy({ since }: Course): Witness | undefined {
  return WITNESSES.filter((witness) => since[witness] !== undefined).toSorted(
    (a, b) => (since[a] ?? 0) - (since[b] ?? 0),
  )[0]
}

/** How long that witness has said so without a break. */
export function nominatedMs(course: Course, witness: Witness, nowMs: number): number {
  return nowMs - (course.since[witness] ?? nowMs)
}

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
  /** See Attendance. */
  readonly answersMissing: number
}

/** What the looks so far come to. */
export interface Course {
  readonly visits: number
  /** When kubelet was first known to have been here that often. */
  readonly visitedMs: number
  /** When the daemon was last asked after the pod. */
  readonly askedMs: number | undefined
  readonly answersMissing: number
  /** A process of the pod was seen, be it gone since. */
  readonly hasLived: boolean
  /** Since when each witness has said so, look by look. */
  readonly since: Readonly<Partial<Record<Witness, number>>>
}

/** kubelet republishes every 60 to 90 s, and only for a driver that is away it waits longer, 122 s at most. */
const UNATTENDED_MS = 150_000

/** The daemon's token for the pod lives on for minutes only, and with it ends what the API server can tell. */
const ASK_AGAIN_MS = 30_000

/**
 * kubelet gives a runtime 4 minutes for a pod's sandbox (twice its runtimeRequestTimeout) and comes by again only
 * before the next try, some 15 s later. Until the sandbox is there, a pod that starts looks like one that has ended.
 */
const START_MS = 300_000

/** A visit of kubelet's ends every nomination; one that is still said afterwards begins anew. */
export function follow(before: Course | undefined, seen: Sighting, nowMs: number): Course {
  const known = before?.visits === seen.visits ? before : undefined
  const since = (witness: Witness, says: boolean): Course['since'] =>
    says ? { [witness]: known?.since[witness] ?? nowMs } : {}
  return {
    visits: seen.visits,
    visitedMs: known?.visitedMs ?? nowMs,
    askedMs: known?.askedMs,
    answersMissing: seen.answersMissing,
    hasLived: before?.hasLived ?? false,
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

/** The witness on whose word the files would go first; undefined: nobody says so. */
export function nominatedBy(course: Course, graceMs: number, nowMs: number): Witness | undefined {
  const waitMs = (witness: Witness): number => nomineeWaitMs(course, witness, graceMs, nowMs)
  return WITNESSES.filter((witness) => course.since[witness] !== undefined).toSorted(
    (a, b) => waitMs(a) - waitMs(b),
  )[0]
}

/**
 * How long that witness has to go on saying so until its word is enough; 0 or less: it is. The API server errs, so
 * it is asked more than once, and of a pod that no process was seen of it is not believed while that may be starting.
 */
export function nomineeWaitMs(
  course: Course,
  witness: Witness,
  graceMs: number,
  nowMs: number,
): number {
  const waitMs = graceMs - (nowMs - (course.since[witness] ?? nowMs))
  if (witness === 'kubelet_record') return waitMs
  const startMs = course.hasLived ? 0 : START_MS - (nowMs - course.visitedMs)
  return Math.max(waitMs, startMs, course.answersMissing * ASK_AGAIN_MS)
}

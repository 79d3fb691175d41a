import { jittered } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { LatchkeyError, type Reason } from '../../core/errors.ts'
import { readTargetPath } from '../../core/target-path.ts'
import { timespan } from '../../core/timespan.ts'
import type { Pod } from '../../core/types.ts'
import type { EventOutcome } from '../../observability/daemon-metrics.ts'
import type { Logger } from '../../observability/log.ts'
import type { CreatePodEvent, PodEvent } from '../kube/pod-event.ts'
import { TokenBucket } from './token-bucket.ts'

/** Which volume of which pod. */
export interface ToldVolume {
  readonly volumeId: string
  readonly targetPath: string
  readonly pod: Pod
}

export interface StaleEventsParts {
  readonly clock: Clock
  /** How long a volume has to have been stale before its pod is told. */
  readonly staleAfterMs: number
  readonly node: string
  readonly create: CreatePodEvent
  readonly count: (outcome: EventOutcome) => void
  readonly log: Logger
  /** Spreads second tries; a test gives its own. */
  readonly random?: () => number
}

/** Tells pods by events that their files are stale, and when they are fresh again. Nothing of it throws. */
export interface StaleEvents {
  /** A look has failed; `sinceMs`: Unix time at which the files became stale. To be called at every such look. */
  stale(volume: ToldVolume, error: LatchkeyError, sinceMs: number): void
  /** A look has gone well. */
  fresh(volume: ToldVolume): void
  /** The volume is gone, or nobody looks any more: nothing more is said about it. */
  forget(volumeId: string): void
  /** Ends what is under way. */
  stop(): void
}

/** An event's life at the API server, by its default. */
const REPEAT_MS = 60 * 60_000
/** After one that was dropped or failed. */
const AGAIN_MS = 5 * 60_000
/** Of the good news, which are soon no news. */
const FRESH_TRIES = 3
/** Of a whole node: an outage makes all its volumes stale in the same moment. */
const RATE = { burst: 10, everyMs: 1_000 }
const MAX_VOLUMES = 4096

/** What a pod has been told of one time of staleness. */
interface Course {
  readonly volume: ToldVolume
  readonly sinceMs: number
  error: LatchkeyError
  /** How often each reason was told, and since when. */
  readonly told: Map<Reason, { count: number; readonly firstAtMs: number }>
  toldAtMs: number
  /** Not before; after one that came to nothing. */
  againAtMs: number
  freshTriesLeft: number | undefined
  isTelling: boolean
  cancelTimer: () => void
}

export function createStaleEvents(parts: StaleEventsParts): StaleEvents {
  return new Teller(parts)
}

class Teller implements StaleEvents {
  readonly #parts: StaleEventsParts
  readonly #bucket: TokenBucket
  readonly #courses = new Map<string, Course>()
  readonly #stopped = new AbortController()
  #hasComplained = false

  constructor(parts: StaleEventsParts) {
    this.#parts = parts
    this.#bucket = new TokenBucket(parts.clock, RATE)
  }

  stale(volume: ToldVolume, error: LatchkeyError, sinceMs: number): void {
    const known = this.#courses.get(volume.volumeId)
    if (known !== undefined && known.freshTriesLeft === undefined) {
      const isNews = known.error.reason !== error.reason
      known.error = error
      if (isNews) this.#arm(known)
      return
    }
    this.forget(volume.volumeId)
    if (this.#stopped.signal.aborted || this.#courses.size >= MAX_VOLUMES) return
    const course: Course = {
      volume,
      sinceMs,
      error,
      told: new Map(),
      toldAtMs: 0,
      againAtMs: 0,
      freshTriesLeft: undefined,
      isTelling: false,
      cancelTimer: () => undefined,
    }
    this.#courses.set(volume.volumeId, course)
    this.#arm(course)
  }

  fresh({ volumeId }: ToldVolume): void {
    const course = this.#courses.get(volumeId)
    if (course === undefined || course.freshTriesLeft !== undefined) return
    course.freshTriesLeft = FRESH_TRIES
    course.againAtMs = 0
    this.#arm(course)
  }

  forget(volumeId: string): void {
    this.#courses.get(volumeId)?.cancelTimer()
    this.#courses.delete(volumeId)
  }

  stop(): void {
    this.#stopped.abort(new LatchkeyError('ShuttingDown', 'the daemon is stopping'))
    for (const volumeId of [...this.#courses.keys()]) this.forget(volumeId)
  }

  /** Sets the clock for what is to be told next; while something is being told, that is still open. */
  #arm(course: Course): void {
    if (course.isTelling || this.#courses.get(course.volume.volumeId) !== course) return
    course.cancelTimer()
    // Whoever was not told of the trouble need not hear of its end.
    if (course.freshTriesLeft === 0 || (isOver(course) && course.told.size === 0)) {
      this.forget(course.volume.volumeId)
      return
    }
    const delayMs = this.#dueAtMs(course) - this.#parts.clock.now()
    course.cancelTimer = this.#parts.clock.after(Math.max(0, delayMs), () => {
      void this.#tell(course)
    })
  }

  #dueAtMs(course: Course): number {
    const { sinceMs, error, told, toldAtMs, againAtMs } = course
    if (isOver(course)) return againAtMs
    if (told.has(error.reason)) return Math.max(toldAtMs + REPEAT_MS, againAtMs)
    return Math.max(sinceMs + this.#parts.staleAfterMs, againAtMs)
  }

  async #tell(course: Course): Promise<void> {
    const { clock, random } = this.#parts
    const { error } = course
    const wasOver = isOver(course)
    course.isTelling = true
    const outcome = await this.#create(this.#eventOf(course))
    course.isTelling = false
    if (this.#stopped.signal.aborted) return
    this.#parts.count(outcome)
    if (outcome !== 'created') {
      if (wasOver) course.freshTriesLeft = (course.freshTriesLeft ?? 1) - 1
      // Freshness that came in the meantime may be told at once.
      if (wasOver === isOver(course)) {
        course.againAtMs = clock.now() + jittered(AGAIN_MS, 0.5, random)
      }
    } else if (wasOver) {
      course.freshTriesLeft = 0
    } else {
      course.toldAtMs = clock.now()
      const { count = 0, firstAtMs = clock.now() } = course.told.get(error.reason) ?? {}
      course.told.set(error.reason, { count: count + 1, firstAtMs })
    }
    this.#arm(course)
  }

  async #create(event: PodEvent): Promise<EventOutcome> {
    if (!this.#bucket.take()) return 'dropped'
    try {
      await this.#parts.create(event, this.#stopped.signal)
      this.#hasComplained = false
      return 'created'
    } catch (thrown) {
      const err = LatchkeyError.from(thrown)
      if (!this.#hasComplained && !this.#stopped.signal.aborted) {
        this.#parts.log.warn({ err, reason: err.reason }, 'event not created')
      }
      this.#hasComplained = true
      return 'failed'
    }
  }

  #eventOf(course: Course): PodEvent {
    const { volume, error, sinceMs, told } = course
    const nowMs = this.#parts.clock.now()
    const name = readTargetPath(volume.targetPath)?.volumeName ?? ''
    const head = { pod: volume.pod, node: this.#parts.node, lastAtMs: nowMs }
    const forLong = timespan(nowMs - sinceMs)
    if (isOver(course)) {
      const message = `volume "${name}" is fresh again; it had been stale for ${forLong}`
      return { ...head, type: 'Normal', reason: 'VolumeFresh', message, count: 1, firstAtMs: nowMs }
    }
    const { count = 0, firstAtMs = nowMs } = told.get(error.reason) ?? {}
    return {
      ...head,
      type: 'Warning',
      reason: error.reason,
      message: `volume "${name}" has been stale for ${forLong}, its last good files stay: ${error.message}`,
      count: count + 1,
      firstAtMs,
    }
  }
}

function isOver({ freshTriesLeft }: Course): boolean {
  return freshTriesLeft !== undefined
}

import { sleep, type Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import { parseTargetPath } from '../../core/target-path.ts'
import type { HostMetrics, Witness } from '../../observability/host-metrics.ts'
import type { Logger } from '../../observability/log.ts'
import type { VolumeKeeper } from '../volume-keeper.ts'
import type { Volumes } from '../volumes.ts'
import type { VolumeRef } from '../volume/volume-store.ts'
import { findingOf, findingOfAbsence, findingOfFailure, type Finding } from './finding.ts'
import {
  follow,
  isQuestionDue,
  nominatedBy,
  nomineeWaitMs,
  unattendedMs,
  type Course,
} from './nomination.ts'
import type { PodCgroups, PodLife } from './pod-cgroups.ts'

export interface SweeperParts {
  readonly volumes: Volumes
  readonly kubeletRoot: string
  /** Whether kubelet has lost what it knows of a volume. */
  readonly isRecordGone: (volume: VolumeRef) => Promise<boolean>
  readonly readPodCgroups: () => Promise<PodCgroups>
  /** How long a witness has to say without a break that a pod has ended. */
  readonly graceMs: number
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: HostMetrics
}

const EVERY_MS = 10_000

/** Each is a question to the disk in a thread; one by one they wake this process twice for every volume. */
const LOOKS_AT_ONCE = 16

/** Each opens a stream to the daemon; what is left over is taken with the next round. */
const MAX_ADOPTED = 64

interface Nominee {
  readonly keeper: VolumeKeeper
  readonly course: Course
  readonly witness: Witness
  readonly life: PodLife
}

/**
 * Looks after volumes whose pod has ended without an unpublish: deleted by force, or forgotten by kubelet.
 * Two witnesses nominate, kubelet's own record and the API server; the files go only when one of them has
 * said so for the whole grace time and the kernel shows no process of the pod. Without that proof they stay.
 * Of each pod one living process is looked for from the start: one that has none yet is no pod that has ended.
 */
export class Sweeper {
  readonly #parts: SweeperParts
  readonly #stopped = new AbortController()
  #courses: ReadonlyMap<VolumeKeeper, Course> = new Map()
  #findings: ReadonlyMap<string, Finding> = new Map()
  #loop: Promise<void> | undefined
  /** Counts the time in which looks were taken: neither a pause of the node nor a jump of its clock is any. */
  #watchedMs = 0
  #lookedAtMs: number

  constructor(parts: SweeperParts) {
    this.#parts = parts
    this.#lookedAtMs = parts.clock.now()
  }

  /** By volume id, as of the last round; of what is not in it there is nothing to be said. */
  get findings(): ReadonlyMap<string, Finding> {
    return this.#findings
  }

  /** Rounds go on by themselves until `stop`. */
  start(): void {
    this.#loop ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#loop
  }

  /** One round over all volumes. Throws: VolumeIo where mounts cannot be listed. */
  async sweep(): Promise<void> {
    const nowMs = this.#countTime()
    this.#parts.volumes.adoptStrays(MAX_ADOPTED)
    const courses = new Map<VolumeKeeper, Course>()
    const ready = this.#parts.volumes.keepers().filter(({ isReady }) => isReady)
    for (let begin = 0; begin < ready.length; begin += LOOKS_AT_ONCE) {
      const looking = ready.slice(begin, begin + LOOKS_AT_ONCE).map(async (keeper) => {
        courses.set(keeper, await this.#look(keeper, nowMs))
      })
      await Promise.all(looking)
    }
    this.#courses = courses
    this.#publish(await this.#judge(courses, nowMs))
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#parts
    for (;;) {
      await sleep(clock, EVERY_MS, this.#stopped.signal).catch(() => undefined)
      if (this.#stopped.signal.aborted) return
      await this.sweep().catch((thrown: unknown) => {
        log.warn({ err: LatchkeyError.from(thrown) }, 'round of the sweep failed')
      })
    }
  }

  #countTime(): number {
    const nowMs = this.#parts.clock.now()
    this.#watchedMs += Math.min(Math.max(nowMs - this.#lookedAtMs, 0), 2 * EVERY_MS)
    this.#lookedAtMs = nowMs
    return this.#watchedMs
  }

  async #look(keeper: VolumeKeeper, nowMs: number): Promise<Course> {
    const isRecordGone = await this.#parts.isRecordGone(keeper.volume)
    const see = (): Course => {
      const { visits, isPodGone, answersMissing } = keeper.attendance
      const seen = { visits, isPodGone, answersMissing, isRecordGone }
      return follow(this.#courses.get(keeper), seen, nowMs)
    }
    const course = see()
    if (!isQuestionDue(course, nowMs)) return course
    keeper.askForPod()
    // With a question older answers may lapse.
    return { ...see(), askedMs: nowMs }
  }

  async #judge(
    courses: Map<VolumeKeeper, Course>,
    nowMs: number,
  ): Promise<ReadonlyMap<string, Finding>> {
    const findings = new Map<string, Finding>()
    let cgroups: PodCgroups | undefined
    for (const [keeper, course] of courses) {
      const witness = nominatedBy(course, this.#parts.graceMs, nowMs)
      const awayMs = unattendedMs(course, nowMs)
      const { volumeId } = keeper.volume
      let life: PodLife | undefined
      if (witness !== undefined || !course.hasLived) {
        cgroups ??= await this.#parts.readPodCgroups()
        life = await cgroups.lifeOf(this.#podUidOf(keeper.volume))
        if (life.is === 'alive') courses.set(keeper, { ...course, hasLived: true })
      }
      if (witness !== undefined && cgroups !== undefined && life !== undefined) {
        const nominee = { keeper, course, witness, life }
        const finding = await this.#sweepNominee(nominee, cgroups, nowMs)
        if (finding !== undefined) findings.set(volumeId, finding)
      } else if (awayMs > 0) findings.set(volumeId, findingOfAbsence(awayMs))
    }
    return findings
  }

  /** undefined: the volume is gone, or its nomination. */
  async #sweepNominee(
    nominee: Nominee,
    cgroups: PodCgroups,
    nowMs: number,
  ): Promise<Finding | undefined> {
    const { keeper, course, witness, life } = nominee
    const { volumeId } = keeper.volume
    const waitMs = nomineeWaitMs(course, witness, this.#parts.graceMs, nowMs)
    if (waitMs > 0 || life.is !== 'empty') return findingOf(witness, life, waitMs)
    try {
      const mayGo = (): Promise<boolean> => this.#isStillDue(nominee, cgroups)
      if (!(await this.#parts.volumes.sweep(keeper, mayGo))) return undefined
    } catch (thrown) {
      return findingOfFailure(witness, LatchkeyError.from(thrown).message)
    }
    this.#parts.metrics.countSwept(witness)
    this.#parts.log.info({ volumeId, reason: witness }, 'volume of an ended pod swept away')
    return undefined
  }

  /** Asked in the volume's turn: a publish that was before it may have changed everything. */
  async #isStillDue({ keeper, course, witness }: Nominee, cgroups: PodCgroups): Promise<boolean> {
    const { attendance, volume } = keeper
    if (this.#stopped.signal.aborted || attendance.visits !== course.visits) return false
    const stillSays =
      witness === 'api_server'
        ? attendance.answersMissing === 0
        : await this.#parts.isRecordGone(volume)
    if (!stillSays) return false
    return (await cgroups.lifeOf(this.#podUidOf(volume))).is === 'empty'
  }

  /** One line per change of state, not one per round. */
  #publish(findings: ReadonlyMap<string, Finding>): void {
    const { log } = this.#parts
    for (const [volumeId, { state, note }] of findings) {
      if (this.#findings.get(volumeId)?.state === state) continue
      if (state === 'stranded') log.warn({ volumeId, reason: note }, 'volume stranded')
      else if (state === 'ending') log.info({ volumeId, reason: note }, 'pod seems to have ended')
    }
    this.#findings = findings
  }

  #podUidOf({ targetPath }: VolumeRef): string {
    return parseTargetPath(targetPath, this.#parts.kubeletRoot).podUid
  }
}

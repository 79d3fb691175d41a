import type { SideName } from './bundle.ts'
import type { Finding } from './findings.ts'
import type { SideProcess } from './side-process.ts'
import type { CrashPlan } from './sides/crash-points.ts'
import type { Spares } from './spares.ts'

export const SIDES = ['host', 'daemon'] as const

/** Lines of what ended unasked: an error and where it was thrown. */
const LAST_WORDS = 25

export interface SidePairParts {
  readonly spares: Spares
  readonly configFile: string
  readonly onHostDeath: () => void
}

/** Both sides of a node, each as the process that runs in its place now. */
export class SidePair {
  readonly #parts: SidePairParts
  readonly #running = new Map<SideName, SideProcess>()
  readonly #buried = new WeakSet<SideProcess>()
  readonly #endedUnasked: Finding[] = []
  #kills = 0

  constructor(parts: SidePairParts) {
    this.#parts = parts
  }

  /** Processes killed so far. */
  get kills(): number {
    return this.#kills
  }

  /** Those that ended although nobody had asked for that. */
  get endedUnasked(): readonly Finding[] {
    return this.#endedUnasked
  }

  process(side: SideName): SideProcess {
    const found = this.#running.get(side)
    if (found === undefined) throw new Error(`the ${side} was never started`)
    return found
  }

  /** Answers how many volumes it adopted; undefined where it died in the attempt. */
  async start(side: SideName, planFor?: (pid: number) => CrashPlan): Promise<number | undefined> {
    const next = this.#parts.spares.take(side)
    this.#running.set(side, next)
    const plan = planFor?.(next.pid)
    if (plan !== undefined) this.#expectDeaths(plan)
    return next.start(this.#parts.configFile, plan)
  }

  /** kill -9, one right after the other; resolves when they are gone. */
  async kill(...sides: readonly SideName[]): Promise<void> {
    for (const side of sides) this.process(side).kill()
    await Promise.all(sides.map((side) => this.process(side).exited))
  }

  async arm(side: SideName, plan: CrashPlan): Promise<void> {
    this.#expectDeaths(plan)
    await this.process(side).arm(plan)
  }

  /** Waits until those that were killed are gone, and tells who is dead. */
  async bury(): Promise<readonly SideName[]> {
    const dead = SIDES.filter((side) => this.process(side).isDead)
    for (const side of dead) {
      const process = this.process(side)
      await process.exited
      if (this.#buried.has(process)) continue
      this.#buried.add(process)
      this.#kills += 1
      if (side === 'host') this.#parts.onHostDeath()
      this.#blame(process)
    }
    return dead
  }

  /** The end of both logs, for whoever has to find out what went wrong. */
  logs(): readonly string[] {
    return [...this.#running.values()].flatMap(({ side, pid, lines }) => [
      `--- ${side} ${pid}`,
      ...lines,
    ])
  }

  /** Nothing of them runs any more. */
  async stop(): Promise<void> {
    for (const side of this.#running.values()) side.kill()
    await Promise.all([...this.#running.values()].map(({ exited }) => exited))
  }

  /** The pids that a plan names die sooner or later, and are meant to. */
  #expectDeaths({ pids }: CrashPlan): void {
    for (const side of this.#running.values()) if (pids.includes(side.pid)) side.expectDeath()
  }

  #blame(process: SideProcess): void {
    if (!process.diedByItself) return
    const lastWords = process.lines.slice(-LAST_WORDS).join(' | ')
    const what = `the ${process.side} (${process.pid}) ended by itself: ${lastWords}`
    this.#endedUnasked.push({ kind: 'lost', what })
  }
}

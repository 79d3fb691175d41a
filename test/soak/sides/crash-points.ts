import fs from 'node:fs'

/** Where to die: ahead of the `nth` event of a scope. */
export interface CrashPlan {
  readonly scope: string
  /** From 1. */
  readonly nth: number
  /** Who is killed, in this order; a process that names itself names itself last. */
  readonly pids: readonly number[]
}

const STDERR = 2
const SIGKILL = 'SIGKILL'

// The real one: what watches the file system wraps the exported one.
const { writeSync } = fs

/**
 * The events of this process, each a place to die at: changes of a file system, mount calls, messages, calls
 * to the API server. A plan kills ahead of one of them, by a real SIGKILL that nothing outlives.
 */
export class CrashPoints {
  readonly #seen = new Map<string, number>()
  #scope: string
  #plan: CrashPlan | undefined
  #count = 0
  #hasHit = false

  constructor(scope: string) {
    this.#scope = scope
  }

  arm(plan: CrashPlan | undefined): void {
    this.#plan = plan
    this.#count = 0
    this.#hasHit = false
  }

  /** Ends the plan; reports whether it came to pass. */
  disarm(): boolean {
    this.#plan = undefined
    return this.#hasHit
  }

  /** How often each event was met, as `scope event`. */
  get seen(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#seen)
  }

  /** What happens from now on, outside of `within`, is of this scope. */
  enter(scope: string): void {
    this.#scope = scope
  }

  /** Runs synchronous work of another scope, with an event at its end. */
  within<T>(scope: string, work: () => T): T {
    const outer = this.#scope
    this.#scope = scope
    try {
      const result = work()
      this.meet('done')
      return result
    } finally {
      this.#scope = outer
    }
  }

  /** The next event is about to happen. */
  meet(event: string, scope = this.#scope): void {
    const name = `${scope} ${event}`
    this.#seen.set(name, (this.#seen.get(name) ?? 0) + 1)
    const plan = this.#plan
    if (plan?.scope !== scope) return
    this.#count += 1
    if (this.#count < plan.nth) return
    this.#plan = undefined
    this.#hasHit = true
    // Before the blow, for there is no after; the pipe keeps it.
    writeSync(STDERR, `crash point ${scope}.${plan.nth} ${event}\n`)
    for (const pid of plan.pids) kill(pid)
  }
}

/** Itself, or a process of the same parent: a number that was given to somebody else since is let alone. */
function kill(pid: number): void {
  try {
    if (pid === process.pid || parentOf(pid) === process.ppid) process.kill(pid, SIGKILL)
  } catch {
    // Dead already, which is all that was wanted.
  }
}

/** The fourth field of /proc/PID/stat; the second, the program's name, is in brackets and may hold anything. */
function parentOf(pid: number): number {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
}

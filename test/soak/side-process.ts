import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Bundle, SideName } from './bundle.ts'
import type { CrashPlan } from './sides/crash-points.ts'
import type { Order, Reply } from './sides/orders.ts'

const MAX_LINES = 400

type ReplyOf<K extends Reply['kind']> = Extract<Reply, { kind: K }>

/** One side of Latchkey as a process of its own: loaded, started when told to, killed. */
export class SideProcess {
  readonly side: SideName
  readonly #child: ChildProcess
  readonly #lines: string[] = []
  readonly #replies: ((reply: Reply | undefined) => void)[] = []
  readonly #loaded: Promise<Reply | undefined>
  readonly exited: Promise<void>
  #isDead = false
  #isMeant = false
  #crash: string | undefined

  /** Its program is loaded at once, ahead of the moment when it is needed. */
  constructor(side: SideName, bundle: Bundle) {
    this.side = side
    this.#child = spawn(process.execPath, ['--min-semi-space-size=16', bundle.programs[side]], {
      env: { NODE_COMPILE_CACHE: join(bundle.folder, 'cache') },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#loaded = this.#next()
    this.#child.once('exit', (code, signal) => {
      this.#end(code, signal)
    })
    // Later than the exit: by now its last words have been read, too.
    this.exited = new Promise((resolve) => {
      this.#child.once('close', () => {
        resolve()
      })
    })
    this.#child.on('message', (reply: Reply) => this.#replies.shift()?.(reply))
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      if (stream === null) continue
      createInterface(stream).on('line', (line) => {
        this.#note(line)
      })
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get isDead(): boolean {
    return this.#isDead
  }

  /** It ended although nobody had asked for that. */
  get diedByItself(): boolean {
    return this.#isDead && !this.#isMeant
  }

  /** The injected point that was reached, such as `swap.7 renameSync`. */
  get crash(): string | undefined {
    return this.#crash
  }

  /** The end of its log. */
  get lines(): readonly string[] {
    return this.#lines
  }

  /** Answers how many volumes it adopted; undefined where it died meanwhile. */
  async start(configFile: string, plan?: CrashPlan): Promise<number | undefined> {
    await this.#loaded
    if (plan?.pids.includes(this.pid) === true) this.#isMeant = true
    const started = await this.#ask<'started'>({ kind: 'start', configFile, plan })
    return started?.adopted
  }

  async arm(plan: CrashPlan): Promise<void> {
    if (plan.pids.includes(this.pid)) this.#isMeant = true
    await this.#ask({ kind: 'arm', plan })
  }

  /** Answers whether the plan came to pass; undefined where it died of it. */
  async disarm(): Promise<ReplyOf<'disarmed'> | undefined> {
    const disarmed = await this.#ask<'disarmed'>({ kind: 'disarm' })
    if (disarmed !== undefined) this.#isMeant = false
    return disarmed
  }

  /** How often each of its events was met so far. */
  async seen(): Promise<Readonly<Record<string, number>>> {
    return (await this.#ask<'seen'>({ kind: 'seen' }))?.seen ?? {}
  }

  /** Another process may kill it from now on. */
  expectDeath(): void {
    this.#isMeant = true
  }

  /** kill -9. */
  kill(): void {
    this.#isMeant = true
    this.#child.kill('SIGKILL')
  }

  async #ask<K extends Reply['kind']>(order: Order): Promise<ReplyOf<K> | undefined> {
    if (this.#isDead || !this.#child.connected) return undefined
    const reply = this.#next()
    // A child that dies right now cannot be told.
    this.#child.send(order, () => undefined)
    return (await reply) as ReplyOf<K> | undefined
  }

  #next(): Promise<Reply | undefined> {
    return new Promise((resolve) => {
      this.#replies.push(resolve)
    })
  }

  #note(line: string): void {
    const point = /^crash point (.*)$/.exec(line)?.[1]
    if (point !== undefined) this.#crash = point
    this.#lines.push(line)
    if (this.#lines.length > MAX_LINES) this.#lines.shift()
  }

  #end(code: number | null, signal: NodeJS.Signals | null): void {
    this.#isDead = true
    this.#note(`${this.side} ended: ${signal ?? `code ${code ?? 0}`}`)
    for (const resolve of this.#replies.splice(0)) resolve(undefined)
  }
}

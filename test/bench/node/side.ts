import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'

import type { MemoryGroup } from './memory-group.ts'

export interface SideOptions {
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Its user and group. */
  readonly uid: number
  readonly logFile: string
  readonly group?: MemoryGroup | undefined
}

const STOP_WITHIN_MS = 10_000

/** One process under measurement: a side of Latchkey, or what it is compared with. */
export class Side {
  readonly pid: number
  readonly #child: ChildProcess
  readonly #logFile: string
  readonly #exited: Promise<unknown>

  constructor({ command, env, uid, logFile, group }: SideOptions) {
    const [file = '', ...args] = command
    const log = openSync(logFile, 'a')
    this.#logFile = logFile
    this.#child = spawn(file, args, {
      env: { PATH: process.env['PATH'], ...env },
      uid,
      gid: uid,
      cwd: '/',
      stdio: ['ignore', log, log],
    })
    closeSync(log)
    this.#child.on('error', () => undefined)
    this.#exited = once(this.#child, 'close').catch(() => undefined)
    this.pid = this.#child.pid ?? 0
    group?.add(this.pid)
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Throws: Error with the end of its log where it has ended. */
  check(): void {
    if (this.isRunning) return
    const log = readFileSync(this.#logFile, 'utf8').trim().split('\n').slice(-3)
    throw new Error(`a side has ended: ${log.join(' | ')}`)
  }

  async stop(): Promise<void> {
    if (this.isRunning) this.#child.kill('SIGTERM')
    const cut = setTimeout(() => this.#child.kill('SIGKILL'), STOP_WITHIN_MS)
    await this.#exited
    clearTimeout(cut)
  }
}

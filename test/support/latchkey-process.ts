import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { until } from './until.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))

export interface LatchkeyOptions {
  /** Command and its arguments, such as `host --config FILE`. */
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** For Node itself. */
  readonly execArgv?: readonly string[]
  readonly cwd?: string
}

/** The program as users start it, in a process of its own. */
export class LatchkeyProcess {
  readonly pid: number
  readonly #child: ChildProcessByStdio<null, Readable, Readable>
  readonly #exited: Promise<unknown>
  #stdout = ''
  #stderr = ''

  constructor({ args, env = {}, execArgv = [], cwd }: LatchkeyOptions) {
    this.#child = spawn(process.execPath, [...execArgv, MAIN, ...args], {
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(cwd === undefined ? {} : { cwd }),
    })
    this.pid = this.#child.pid ?? 0
    this.#exited = once(this.#child, 'close')
    this.#child.stdout.on('data', (bytes: Buffer) => {
      this.#stdout += bytes.toString('latin1')
    })
    this.#child.stderr.on('data', (bytes: Buffer) => {
      this.#stderr += bytes.toString('latin1')
    })
  }

  /** Both streams of output as bytes one to one, so that nothing a scan looks for is lost in decoding. */
  get output(): { readonly stdout: string; readonly stderr: string } {
    return { stdout: this.#stdout, stderr: this.#stderr }
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Waits for a line of the log with this message. Throws: Error, with the output, where it ends before. */
  async untilLogs(message: string): Promise<void> {
    const said = (): boolean => this.#stdout.includes(`"msg":"${message}"`)
    await until(() => said() || !this.isRunning, {
      what: `the log to say "${message}"`,
      timeoutMs: 45_000,
    })
    if (!said()) throw new Error(`ended before "${message}": ${this.#stdout}${this.#stderr}`)
  }

  /** How it ended: an exit code or a signal. */
  async ended(): Promise<number | string | null> {
    await this.#exited
    return this.#child.exitCode ?? this.#child.signalCode
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  async stop(): Promise<void> {
    if (this.isRunning) this.#child.kill('SIGTERM')
    const cut = setTimeout(() => this.#child.kill('SIGKILL'), 10_000)
    await this.#exited
    clearTimeout(cut)
  }
}

import { fork, type ChildProcess } from 'node:child_process'
import type { Order, SideOptions } from './side-main.ts'

const PROGRAM = `${import.meta.dirname}/side-main.ts`

/** One side of Latchkey as a child process, whose memory is its own. */
export class SideProcess {
  readonly pid: number
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, pid: number) {
    this.#child = child
    this.pid = pid
  }

  /** Resolves when it serves. Throws: Error where it ends instead. */
  static async start(options: SideOptions): Promise<SideProcess> {
    const child = fork(PROGRAM, [JSON.stringify(options)])
    const { pid } = child
    if (pid === undefined) throw new Error(`the ${options.side} could not be started`)
    const side = new SideProcess(child, pid)
    await side.#answer()
    return side
  }

  async releaseGarbage(): Promise<void> {
    await this.#obey({ order: 'release garbage' })
  }

  /** Has it hold a secret in every form that a scan looks for. */
  async plant(secret: Buffer): Promise<void> {
    await this.#obey({ order: 'plant', inverted: [...secret].map((byte) => byte ^ 0xff) })
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.send({ order: 'stop' } satisfies Order)
    await exited
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  async #obey(order: Order): Promise<void> {
    const answer = this.#answer()
    this.#child.send(order)
    await answer
  }

  #answer(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onExit = (): void => {
      reject(new Error('the side has ended'))
    }
    this.#child.once('exit', onExit)
    this.#child.once('message', () => {
      this.#child.off('exit', onExit)
      resolve()
    })
    return promise
  }
}

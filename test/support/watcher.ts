import { fork, type ChildProcess } from 'node:child_process'
import type { ExecutionContext } from 'ava'
import { until } from './until.ts'
import type { Seen } from './watcher-main.ts'

/** A process that watches a volume's file `password`, by inotify and by polling. */
export class Watcher {
  readonly #child: ChildProcess
  readonly #first: Promise<Seen>

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#first = this.#next()
  }

  /** It sees what the main thread of this process has mounted. */
  static async start(t: ExecutionContext, folder: string): Promise<Watcher> {
    const child = fork(`${import.meta.dirname}/watcher-main.ts`, [folder])
    t.teardown(() => child.kill('SIGKILL'))
    const watcher = new Watcher(child)
    await watcher.#first
    return watcher
  }

  /** What it has seen by now. */
  look(): Promise<Seen> {
    const seen = this.#next()
    this.#child.send('look')
    return seen
  }

  async untilSeen(what: string, isSo: (seen: Seen) => boolean): Promise<void> {
    await until(async () => isSo(await this.look()), { what })
  }

  #next(): Promise<Seen> {
    return new Promise((resolve, reject) => {
      const onExit = (): void => {
        reject(new Error('the watcher has ended'))
      }
      this.#child.once('exit', onExit)
      this.#child.once('message', (seen: Seen) => {
        this.#child.off('exit', onExit)
        resolve(seen)
      })
    })
  }
}

import type { Bundle, SideName } from './bundle.ts'
import { SideProcess } from './side-process.ts'

/** Processes that are loaded and wait for the word to start, so that a restart takes milliseconds. */
export class Spares {
  readonly #bundle: Bundle
  readonly #count: number
  readonly #waiting: Readonly<Record<SideName, SideProcess[]>> = { host: [], daemon: [] }

  /** `count`: of each side. */
  constructor(bundle: Bundle, count: number) {
    this.#bundle = bundle
    this.#count = count
    this.#fill('host')
    this.#fill('daemon')
  }

  take(side: SideName): SideProcess {
    const spare = this.#waiting[side].shift() ?? new SideProcess(side, this.#bundle)
    this.#fill(side)
    // One that died while it waited tells its story to whoever takes it.
    return spare
  }

  async close(): Promise<void> {
    const all = Object.values(this.#waiting).flatMap((list) => list.splice(0))
    for (const spare of all) spare.kill()
    await Promise.all(all.map(({ exited }) => exited))
  }

  #fill(side: SideName): void {
    const list = this.#waiting[side]
    while (list.length < this.#count) list.push(new SideProcess(side, this.#bundle))
  }
}

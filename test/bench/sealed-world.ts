import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

import { compile } from './c-program.ts'
import type { SealedOrder } from './sealed-process.ts'

/** What rows in the seal work with. Whatever takes long to make is made when a row first asks for it. */
export class SealedWorld {
  readonly folder: string
  readonly #order: SealedOrder
  readonly #programs = new Map<string, Promise<string>>()

  constructor(order: SealedOrder, folder: string) {
    this.folder = folder
    this.#order = order
    mkdirSync(join(folder, 'bin'))
  }

  /** A number of rounds or volumes: the first, or the second for --quick. */
  scale(full: number, quick: number): number {
    return this.#order.isQuick ? quick : full
  }

  /** Path of the program that `c/NAME.c` makes. */
  compile(name: string): Promise<string> {
    const program = this.#programs.get(name) ?? compile(name, join(this.folder, 'bin'))
    this.#programs.set(name, program)
    return program
  }

  /** Ends what the last row has left running. */
  async clear(): Promise<void> {}

  async close(): Promise<void> {}
}

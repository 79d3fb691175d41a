import { Worker } from 'node:worker_threads'
import type { ExecutionContext } from 'ava'
import type { VolumeFile } from '../../src/core/types.ts'
import { until } from './until.ts'
import { fileOf } from './volumes.ts'

export const COUNTERS = [
  'rounds',
  'reads',
  'torn',
  'missed',
  'mixedByPath',
  'mixedByData',
  'stop',
] as const

export type Counter = (typeof COUNTERS)[number]

export interface ReaderData {
  readonly folder: string
  readonly counters: SharedArrayBuffer
  readonly fileBytes: number
  readonly wordBytes: number
}

const WORD_BYTES = 8
/** Two pages of memory and a part of a third. */
const FILE_BYTES = 9_000

/** What a file of this generation holds: its number, over and over, so that half of another one shows. */
export function textOf(generation: number): string {
  return String(generation)
    .padStart(WORD_BYTES, '0')
    .repeat(FILE_BYTES / WORD_BYTES)
}

export function filesOf(generation: number): VolumeFile[] {
  return ['first', 'second'].map((name) => fileOf(name, textOf(generation)))
}

/**
 * Threads that read a volume's files as fast as they can: by their plain paths, and below `..data`, resolved
 * once for both. They are started by the main thread, so they see what it has mounted.
 */
export class Readers {
  readonly #counts: readonly Int32Array[]

  private constructor(counts: readonly Int32Array[]) {
    this.#counts = counts
  }

  static async start(t: ExecutionContext, folder: string, count: number): Promise<Readers> {
    const each = Array.from({ length: count }, () => {
      const counters = new SharedArrayBuffer(COUNTERS.length * Int32Array.BYTES_PER_ELEMENT)
      const data: ReaderData = { folder, counters, fileBytes: FILE_BYTES, wordBytes: WORD_BYTES }
      const worker = new Worker(new URL('./reader-thread.ts', import.meta.url), {
        workerData: data,
      })
      worker.on('error', (thrown: Error) => {
        t.fail(`a reader ended: ${thrown.message}`)
      })
      t.teardown(() => worker.terminate())
      return new Int32Array(counters)
    })
    const readers = new Readers(each)
    await readers.untilAllHaveRead()
    return readers
  }

  /**
   * Resolves when every read that has begun by now is over: what the time stands for that an old
   * generation lingers.
   */
  async untilAllHaveRead(): Promise<void> {
    const before = this.#counts.map((counts) => load(counts, 'rounds'))
    // The round under way may have begun after this, in the eyes of a thread that was just not running.
    await until(
      () =>
        this.#counts.every((counts, index) => load(counts, 'rounds') >= (before[index] ?? 0) + 2),
      { what: 'every reader to read', timeoutMs: 30_000 },
    )
  }

  stop(): void {
    for (const counts of this.#counts) Atomics.store(counts, COUNTERS.indexOf('stop'), 1)
  }

  /** Of all readers together. */
  count(what: Counter): number {
    return this.#counts.reduce((sum, counts) => sum + load(counts, what), 0)
  }
}

function load(counts: Int32Array, what: Counter): number {
  return Atomics.load(counts, COUNTERS.indexOf(what))
}

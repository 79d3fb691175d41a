import type { Clock } from '../core/clock.ts'
import { sleep } from '../core/clock.ts'
import type { Answer } from './answer.ts'
import { STORAGE_FAILED, statusAnswer, textAnswer } from './answer.ts'

/** What a request is about, for counting it and for making it fail. */
export type RequestKind = 'tokenReview' | 'secretRead' | 'secretWatch' | 'other'

export interface Failure {
  readonly count: number
  readonly code: 500 | 429
  /** Default: whatever comes. */
  readonly kind?: RequestKind
}

/** Trouble on demand. */
export class Faults {
  readonly #clock: Clock
  #latencyMs = 0
  #failures: { code: 500 | 429; left: number; kind: RequestKind | undefined }[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  setLatency(latencyMs: number): void {
    this.#latencyMs = latencyMs
  }

  failNext({ count, code, kind }: Failure): void {
    this.#failures.push({ code, left: count, kind })
  }

  clear(): void {
    this.#latencyMs = 0
    this.#failures = []
  }

  /** Throws: the signal's reason. */
  async delay(signal: AbortSignal): Promise<void> {
    if (this.#latencyMs > 0) await sleep(this.#clock, this.#latencyMs, signal)
  }

  /** The answer that a request gets in place of the real one; undefined: none. */
  strike(kind: RequestKind): Answer | undefined {
    const failure = this.#failures.find((each) => (each.kind ?? kind) === kind && each.left > 0)
    if (failure === undefined) return undefined
    failure.left -= 1
    if (failure.code === 500) return statusAnswer(STORAGE_FAILED, 'json')
    // Priority and fairness turns away in plain text.
    const answer = textAnswer(429, 'Too many requests, please try again later.\n')
    return { ...answer, headers: { 'retry-after': '1' } }
  }
}

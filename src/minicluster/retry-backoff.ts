/** kubelet's exponential backoff: no jitter, and kept per key until a success. */
export interface RetryLimits {
  readonly firstMs: number
  readonly maxMs: number
  readonly factor: number
}

/** goroutinemap/exponentialbackoff of kubelet. */
export const KUBELET_RETRY: RetryLimits = { firstMs: 500, maxMs: 122_000, factor: 2 }

export class RetryBackoff {
  readonly #limits: RetryLimits
  #delayMs = 0
  #retryAtMs = 0

  constructor(limits: RetryLimits) {
    this.#limits = limits
  }

  fail(nowMs: number): void {
    const { firstMs, maxMs, factor } = this.#limits
    this.#delayMs = this.#delayMs === 0 ? firstMs : Math.min(this.#delayMs * factor, maxMs)
    this.#retryAtMs = nowMs + this.#delayMs
  }

  reset(): void {
    this.#delayMs = 0
    this.#retryAtMs = 0
  }

  /** How long to wait yet; 0: now. */
  waitMs(nowMs: number): number {
    return Math.max(0, this.#retryAtMs - nowMs)
  }
}

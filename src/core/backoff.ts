export interface BackoffLimits {
  readonly firstMs: number
  readonly maxMs: number
}

/**
 * Delays that double from `firstMs` up to `maxMs`, each drawn from the upper half of its range, so that
 * many waiters do not come back in one wave.
 */
export class Backoff {
  readonly #limits: BackoffLimits
  readonly #random: () => number
  #attempt = 0

  constructor(limits: BackoffLimits, random: () => number = Math.random) {
    this.#limits = limits
    this.#random = random
  }

  nextMs(): number {
    const ceilingMs = Math.min(this.#limits.firstMs * 2 ** this.#attempt, this.#limits.maxMs)
    this.#attempt += 1
    return jittered(ceilingMs * 0.75, 1 / 3, this.#random)
  }

  reset(): void {
    this.#attempt = 0
  }
}

/** `centreMs` moved by up to ±`spread` (a fraction). */
export function jittered(
  centreMs: number,
  spread: number,
  random: () => number = Math.random,
): number {
  return Math.round(centreMs * (1 - spread + 2 * spread * random()))
}

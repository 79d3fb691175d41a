import type { Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { HeldVolume__Output } from '../../wire/gen/latchkey/mount/v1/HeldVolume.ts'
import type { ShimReport__Output } from '../../wire/gen/latchkey/mount/v1/ShimReport.ts'
import { MAX_HELD_VOLUMES } from '../../wire/limits.ts'

const MAX_METRICS_BYTES = 256 * 1024

/** What the host side last said of itself, and when: the daemon answers probes and scrapes for it. */
export class ShimReports {
  readonly #clock: Clock
  #latest: { readonly report: ShimReport__Output; readonly atMs: number } | undefined
  #isConnected = false
  #turn = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Takes and answers one Report stream's messages until it ends. A newer stream takes an older one's place; the older
   * one's end then says nothing.
   *
   * Throws: InvalidRequest.
   */
  async follow(
    reports: AsyncIterable<ShimReport__Output>,
    acknowledge: () => Promise<void>,
  ): Promise<void> {
    this.#turn += 1
    const turn = this.#turn
    try {
      for await (const report of reports) {
        if (turn !== this.#turn) return
        this.#take(report)
        await acknowledge()
      }
    } finally {
      if (turn === this.#turn) this.#isConnected = false
    }
  }

  get isConnected(): boolean {
    return this.#isConnected
  }

  /** undefined before the first report. */
  get latest(): ShimReport__Output | undefined {
    return this.#latest?.report
  }

  /** undefined before the first report. */
  get ageMs(): number | undefined {
    return this.#latest === undefined ? undefined : this.#clock.now() - this.#latest.atMs
  }

  /** The host's volumes; none while it is away, for nothing is known of them then. */
  get held(): readonly HeldVolume__Output[] {
    return this.#isConnected ? (this.#latest?.report.held ?? []) : []
  }

  /** The host's figures in Prometheus' text format; empty while it is away, for they would be stale. */
  get metricsText(): string {
    return this.#isConnected ? (this.#latest?.report.metricsText ?? '') : ''
  }

  #take(report: ShimReport__Output): void {
    if (Buffer.byteLength(report.metricsText) > MAX_METRICS_BYTES) {
      throw new LatchkeyError('InvalidRequest', `metrics_text: over ${MAX_METRICS_BYTES} bytes`)
    }
    if (report.held.length > MAX_HELD_VOLUMES) {
      throw new LatchkeyError('InvalidRequest', `held: over ${MAX_HELD_VOLUMES} volumes`)
    }
    this.#latest = { report, atMs: this.#clock.now() }
    this.#isConnected = true
  }
}

import { Backoff } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import { Pause } from '../core/pause.ts'
import type { ShimReport } from '../wire/gen/latchkey/mount/v1/ShimReport.ts'
import type { DaemonLink, ReportStream } from './daemon-link.ts'

const EVERY_MS = 5_000

export interface ReporterParts {
  readonly link: DaemonLink
  readonly clock: Clock
  readonly report: () => Promise<ShimReport>
}

/** The host side's heartbeat to the daemon: it has no listener of its own, so the daemon answers for it. */
export class Reporter {
  readonly #parts: ReporterParts
  readonly #stopped = new AbortController()
  readonly #loop: Promise<void>
  readonly #pause: Pause

  constructor(parts: ReporterParts) {
    this.#parts = parts
    this.#pause = new Pause(parts.clock)
    this.#loop = this.#run()
  }

  /** Reports now instead of with the next beat, for what a probe waits for. */
  hurry(): void {
    this.#pause.wake()
  }

  async stop(): Promise<void> {
    this.#stopped.abort()
    await this.#loop
  }

  async #run(): Promise<void> {
    const backoff = new Backoff({ firstMs: 100, maxMs: 5_000 })
    while (!this.#stopped.signal.aborted) {
      await this.#beatWhileConnected(backoff)
      await this.#pause.wait(backoff.nextMs(), this.#stopped.signal)
    }
  }

  async #beatWhileConnected(backoff: Backoff): Promise<void> {
    let stream: ReportStream | undefined
    try {
      stream = this.#parts.link.report(this.#stopped.signal)
      await stream.send(await this.#parts.report())
      for await (const _ of stream.receive()) {
        backoff.reset()
        await this.#pause.wait(EVERY_MS, this.#stopped.signal)
        await stream.send(await this.#parts.report())
      }
    } catch {
      // The daemon is away; the volumes' own streams say so in the log.
    } finally {
      stream?.end()
    }
  }
}

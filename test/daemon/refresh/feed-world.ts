import type { ExecutionContext } from 'ava'
import { LatchkeyError, type Reason } from '../../../src/core/errors.ts'
import type { Workload } from '../../../src/daemon/identity/workload.ts'
import { Feeds, type Subscription } from '../../../src/daemon/refresh/feeds.ts'
import type { Source } from '../../../src/daemon/sources/source.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { workloadOf } from '../sources/workloads.ts'
import { WatchedSource } from './watched-source.ts'

export const INTERVAL_MS = 60_000

export interface Listener {
  /** Times at which it was told to look, in milliseconds since the world began. */
  readonly noticedAtMs: readonly number[]
  readonly notices: number
  workload: Workload
  stop(): void
}

/** Feeds over a source of the test's, with a clock that it turns and no chance in the jitter. */
export class FeedWorld {
  readonly clock = new FakeClock()
  readonly source = new WatchedSource()
  readonly feeds: Feeds
  readonly #bornMs = this.clock.now()

  constructor(t: ExecutionContext, random: () => number = () => 0.5) {
    this.feeds = new Feeds({ clock: this.clock, intervalMs: INTERVAL_MS, random })
    t.teardown(async () => {
      // Whatever a test leaves subscribed has ended with it; its own timers are then gone as well.
      for (const stop of this.#stops) stop()
      await this.clock.advance(0)
      if (this.clock.pending > 0) throw new Error(`${this.clock.pending} timers are left`)
      if (this.source.open > 0) throw new Error(`${this.source.open} watches are left`)
    })
  }

  readonly #stops: (() => void)[] = []

  /** Somebody who has version `version` of a secret, at 0 ms unless the clock was turned. */
  async listen(
    version: string | undefined,
    changes: Partial<Omit<Subscription, 'source'>> & {
      readonly source?: Source
      readonly as?: Workload
    } = {},
  ): Promise<Listener> {
    const noticedAtMs: number[] = []
    const { as = workloadOf(), ...rest } = changes
    const listener = {
      noticedAtMs,
      workload: as,
      get notices() {
        return noticedAtMs.length
      },
      stop: (): void => undefined,
    }
    listener.stop = this.feeds.subscribe({
      source: this.source,
      secret: 'db',
      version,
      isUrgent: false,
      workload: () => listener.workload,
      onChange: () => noticedAtMs.push(this.clock.now() - this.#bornMs),
      ...rest,
    })
    this.#stops.push(listener.stop)
    await this.clock.advance(0)
    return listener
  }

  get nowMs(): number {
    return this.clock.now() - this.#bornMs
  }

  /** Every watch fails at once for this reason. */
  refuse(reason: Reason): void {
    this.source.onOpen = (watch) => watch.fail(new LatchkeyError(reason, 'as told'))
  }
}

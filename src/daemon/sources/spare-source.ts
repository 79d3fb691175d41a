import { jittered } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { LatchkeyError, type Reason } from '../../core/errors.ts'
import type { Source } from './source.ts'

export interface SpareOptions {
  readonly clock: Clock
  readonly random?: () => number
}

/** The source itself said nothing. */
const AWAY: ReadonlySet<Reason> = new Set(['SourceUnavailable', 'KubeUnavailable', 'Timeout'])
/** Whoever refuses is there. */
const ANSWERED: ReadonlySet<Reason> = new Set([
  'AccessDenied',
  'SecretNotFound',
  'TokenRejected',
  'PayloadTooLarge',
])
/** Failures in a row, over all who ask, after which it counts as away. */
const MAX_FAILURES = 5
/** Between two calls while it is away. */
const PROBE = { everyMs: 1_000, spread: 0.5 }
/** What was given up sooner, since nobody waited any more, says nothing of the source. */
const PATIENCE_MS = 1_000

/** How a source has answered of late. */
class Standing {
  readonly #options: SpareOptions
  #failures = 0
  #probeAtMs = 0
  #last: LatchkeyError | undefined

  constructor(options: SpareOptions) {
    this.#options = options
  }

  /** Throws: what the last call threw, while the source is away and was asked a moment ago. */
  enter(): number {
    const { clock, random } = this.#options
    const nowMs = clock.now()
    const restMs = this.#probeAtMs - nowMs
    // A clock that was set back must not lock the source for longer.
    const isResting = restMs > 0 && restMs <= 2 * PROBE.everyMs
    if (this.#last !== undefined && this.#failures >= MAX_FAILURES && isResting) {
      throw new LatchkeyError(this.#last.reason, this.#last.message, { cause: this.#last })
    }
    this.#probeAtMs = nowMs + jittered(PROBE.everyMs, PROBE.spread, random)
    return nowMs
  }

  answer(): void {
    this.#failures = 0
    this.#last = undefined
  }

  fail(thrown: unknown, startedMs: number): void {
    const error = LatchkeyError.from(thrown)
    const { reason } = error
    if (ANSWERED.has(reason)) this.answer()
    if (!AWAY.has(reason)) return
    if (reason === 'Timeout' && this.#options.clock.now() - startedMs < PATIENCE_MS) return
    this.#failures += 1
    this.#last = error
  }
}

/**
 * The same source, asked about once a second and node while it is away, however many volumes would know.
 * The others are told at once what the last one was told, and keep to their own times: when it is back they
 * come as spread as their jitter has made them, not in the moment in which somebody finds out.
 */
export function spareSource(source: Source, options: SpareOptions): Source {
  const standing = new Standing(options)
  const spared: Source = {
    name: source.name,
    audience: source.audience,

    async fetch(workload, secret, signal) {
      const startedMs = standing.enter()
      try {
        const value = await source.fetch(workload, secret, signal)
        standing.answer()
        return value
      } catch (thrown) {
        standing.fail(thrown, startedMs)
        throw thrown
      }
    },
  }
  if (source.watch === undefined) return spared
  const watch = source.watch.bind(source)
  return {
    ...spared,
    async *watch(workload, secret, signal) {
      const startedMs = standing.enter()
      try {
        for await (const change of watch(workload, secret, signal)) {
          standing.answer()
          yield change
        }
      } catch (thrown) {
        standing.fail(thrown, startedMs)
        throw thrown
      }
    },
  }
}

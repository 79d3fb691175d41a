import { jittered } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { isAway, LatchkeyError, type Reason } from '../../core/errors.ts'
import { sharingKeyOf, type SharingKey } from './sharing-key.ts'
import type { Source } from './source.ts'

export interface SpareOptions {
  readonly clock: Clock
  readonly random?: () => number
}

/** Whoever refuses is there. */
const ANSWERED: ReadonlySet<Reason> = new Set([
  'AccessDenied',
  'SecretNotFound',
  'TokenRejected',
  'PayloadTooLarge',
])
/** Failures in a row within one namespace, after which the source counts as away for it. */
const MAX_FAILURES = 5
/** Between two calls for one namespace while it is away. */
const PROBE = { everyMs: 2_000, spread: 0.5 }
/** What was given up sooner, since nobody waited any more, says nothing of the source. */
const PATIENCE_MS = 1_000
const MAX_NAMESPACES = 1_024
/** Remembered one by one, within one namespace. */
const MAX_FAILING = 64

type Failure = Pick<LatchkeyError, 'reason' | 'message'>

const NOT_ASKED = 'the source did not answer of late, and is asked again in a moment'

/** What a namespace has heard of a source since it last had an answer. */
interface Silence {
  /**
   * Whose fetches and watches failed, and how; others are let through, for the trouble may be with these alone.
   * Once it is full, hardly anybody is left whom the trouble is not with.
   */
  readonly failing: Map<SharingKey, Failure>
  failures: number
  probeAtMs: number
  lastReason: Reason
}

/** How a source has answered of late. One tenant's trouble never keeps another from asking. */
class Standing {
  readonly #options: SpareOptions
  readonly #silences = new Map<string, Silence>()

  constructor(options: SpareOptions) {
    this.#options = options
  }

  /** Throws: what the key's own last call threw, while the source is away and was asked a moment ago. */
  enter(namespace: string, key: SharingKey): void {
    const silence = this.#silences.get(namespace)
    if (silence === undefined || silence.failures < MAX_FAILURES) return
    const own = silence.failing.get(key)
    if (own === undefined && silence.failing.size < MAX_FAILING) return
    const restMs = silence.probeAtMs - this.#options.clock.now()
    // A clock that was set back must not lock the source for longer.
    if (restMs > 0 && restMs <= 2 * PROBE.everyMs) {
      // Never what another service account was told, though it is of the same namespace.
      throw new LatchkeyError(own?.reason ?? silence.lastReason, own?.message ?? NOT_ASKED)
    }
    this.#restFrom(silence)
  }

  answer(namespace: string): void {
    this.#silences.delete(namespace)
  }

  fail(namespace: string, key: SharingKey, thrown: unknown, startedMs: number): void {
    const { reason, message } = LatchkeyError.from(thrown)
    if (ANSWERED.has(reason)) this.answer(namespace)
    if (!isAway(reason)) return
    if (reason === 'Timeout' && this.#options.clock.now() - startedMs < PATIENCE_MS) return
    const silence = this.#silences.get(namespace) ?? this.#begin(namespace, reason)
    const { failing } = silence
    if (failing.has(key) || failing.size < MAX_FAILING) failing.set(key, { reason, message })
    silence.failures += 1
    silence.lastReason = reason
    if (silence.failures === MAX_FAILURES) this.#restFrom(silence)
  }

  #begin(namespace: string, lastReason: Reason): Silence {
    const failing = new Map<SharingKey, Failure>()
    const silence = { failing, failures: 0, probeAtMs: 0, lastReason }
    this.#silences.set(namespace, silence)
    // Namespaces come and go without end, some of them in the midst of an outage.
    const [oldest] = this.#silences.keys()
    if (this.#silences.size > MAX_NAMESPACES && oldest !== undefined) this.#silences.delete(oldest)
    return silence
  }

  #restFrom(silence: Silence): void {
    const { clock, random } = this.#options
    silence.probeAtMs = clock.now() + jittered(PROBE.everyMs, PROBE.spread, random)
  }
}

/**
 * The same source, asked about every two seconds for each namespace while it is away, however many volumes
 * would know. The others are told at once what they were told last time, and keep to their own times: when it is
 * back they come as spread as their jitter has made them, not in the moment in which somebody finds out.
 */
export function spareSource(source: Source, options: SpareOptions): Source {
  const { name } = source
  const standing = new Standing(options)
  const spared: Source = {
    ...source,

    async fetch(workload, secret, signal) {
      const { namespace } = workload.pod
      const key = sharingKeyOf(workload, name, secret)
      standing.enter(namespace, key)
      const startedMs = options.clock.now()
      try {
        const value = await source.fetch(workload, secret, signal)
        standing.answer(namespace)
        return value
      } catch (thrown) {
        standing.fail(namespace, key, thrown, startedMs)
        throw thrown
      }
    },
  }
  if (source.watch === undefined) return spared
  const watch = source.watch.bind(source)
  return {
    ...spared,
    async *watch(workload, secret, signal) {
      const { namespace } = workload.pod
      const key = sharingKeyOf(workload, name, secret)
      standing.enter(namespace, key)
      const startedMs = options.clock.now()
      try {
        for await (const change of watch(workload, secret, signal)) {
          standing.answer(namespace)
          yield change
        }
      } catch (thrown) {
        standing.fail(namespace, key, thrown, startedMs)
        throw thrown
      }
    },
  }
}

import { jittered } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { LatchkeyError, type Reason } from '../../core/errors.ts'
import { sharingKeyOf, type SharingKey } from './sharing-key.ts'
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
/** Failures in a row within one namespace, after which the source counts as away for it. */
const MAX_FAILURES = 5
/** Between two calls for one namespace while it is away. */
const PROBE = { everyMs: 2_000, spread: 0.5 }
/** What was given up sooner, since nobody waited any more, says nothing of the source. */
const PATIENCE_MS = 1_000
const MAX_NAMESPACES = 1_024

/** What a namespace has heard of a source since it last had an answer. */
interface Silence {
  /** Whose fetches and watches failed; others are let through, for the trouble may be with these alone. */
  readonly failing: Set<SharingKey>
  failures: number
  probeAtMs: number
  last: LatchkeyError
}

/** How a source has answered of late. One tenant's trouble never keeps another from asking. */
class Standing {
  readonly #options: SpareOptions
  readonly #silences = new Map<string, Silence>()

  constructor(options: SpareOptions) {
    this.#options = options
  }

  /** Throws: what the last call threw, while the source is away and was asked a moment ago. */
  enter(namespace: string, key: SharingKey): void {
    const silence = this.#silences.get(namespace)
    if (silence === undefined || silence.failures < MAX_FAILURES) return
    if (!silence.failing.has(key)) return
    const restMs = silence.probeAtMs - this.#options.clock.now()
    // A clock that was set back must not lock the source for longer.
    if (restMs > 0 && restMs <= 2 * PROBE.everyMs) {
      throw new LatchkeyError(silence.last.reason, silence.last.message, { cause: silence.last })
    }
    this.#restFrom(silence)
  }

  answer(namespace: string): void {
    this.#silences.delete(namespace)
  }

  fail(namespace: string, key: SharingKey, thrown: unknown, startedMs: number): void {
    const last = LatchkeyError.from(thrown)
    const { reason } = last
    if (ANSWERED.has(reason)) this.answer(namespace)
    if (!AWAY.has(reason)) return
    if (reason === 'Timeout' && this.#options.clock.now() - startedMs < PATIENCE_MS) return
    const silence = this.#silences.get(namespace) ?? this.#begin(namespace, last)
    silence.failing.add(key)
    silence.failures += 1
    silence.last = last
    if (silence.failures === MAX_FAILURES) this.#restFrom(silence)
  }

  #begin(namespace: string, last: LatchkeyError): Silence {
    const silence = { failing: new Set<SharingKey>(), failures: 0, probeAtMs: 0, last }
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
 * would know. The others are told at once what the last one was told, and keep to their own times: when it is
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

import { sleep } from '../../core/clock.ts'
import { ENDED } from '../../core/deadline.ts'
import type { Workload } from '../identity/workload.ts'
import type { Item } from '../sources/item.ts'
import { askOf, secretKeyOf, type SecretKey } from '../sources/secret-key.ts'
import type { Stages } from './stages.ts'

/** Notices that some secret of a volume may have changed. Several at once count as one. */
export interface Changes {
  /** Resolves true on the next notice, or at once for one that came meanwhile; false after `waitMs`. */
  next(waitMs: number, signal: AbortSignal): Promise<boolean>
  /** Brings about a notice. */
  notify(): void
  /** When the next look is due by the clock; undefined where watches bring all the news. */
  readonly nextLookAtMs: number | undefined
  stop(): void
}

export interface Watched {
  readonly items: readonly Item[]
  readonly workload: () => Workload
  /** What the volume shows now; a secret without one may yet appear. */
  readonly versions: ReadonlyMap<SecretKey, string>
  /** Secrets that never change any more. */
  readonly immutable: ReadonlySet<SecretKey>
  /** Somebody waits for a secret to appear. */
  readonly isUrgent: boolean
}

export function watchItems(
  { items, workload, versions, immutable, isUrgent }: Watched,
  on: Pick<Stages, 'feeds' | 'sources' | 'clock'>,
): Changes {
  let pending = false
  let wake = Promise.withResolvers<void>()
  const notify = (): void => {
    pending = true
    wake.resolve()
  }
  const subscriptions = [...Map.groupBy(items, secretKeyOf)].flatMap(([key, uses]) => {
    const [first] = uses
    const source = on.sources.get(first?.from ?? '')
    if (first === undefined || source === undefined) return []
    const secret = askOf(first)
    const version = versions.get(key)
    const isImmutable = immutable.has(key)
    const subscriber = { workload, version, isUrgent, intervalMs: shortest(uses), onChange: notify }
    // Who waits for a secret to appear has no volume yet that it could be kept for.
    const lastForMs = isUrgent ? undefined : first.lastForMs
    return [{ source, secret, isImmutable, lastForMs, ...subscriber }]
  })
  const unsubscribes = subscriptions.map((subscription) => on.feeds.subscribe(subscription))
  return {
    async next(waitMs, signal) {
      const over = new AbortController()
      const bound = sleep(on.clock, waitMs, AbortSignal.any([signal, over.signal]))
      await Promise.race([wake.promise, bound.catch(() => undefined)])
      over.abort(ENDED)
      signal.throwIfAborted()
      const noticed = pending
      pending = false
      wake = Promise.withResolvers()
      return noticed
    },
    notify,
    get nextLookAtMs() {
      const times = subscriptions.flatMap((one) => on.feeds.nextLookAtMs(one) ?? [])
      return times.length === 0 ? undefined : Math.min(...times)
    },
    stop() {
      for (const unsubscribe of unsubscribes) unsubscribe()
    },
  }
}

/** The shortest interval that one of them names; undefined where none does. */
function shortest(uses: readonly Item[]): number | undefined {
  const named = uses.flatMap(({ refreshMs }) => (refreshMs === undefined ? [] : [refreshMs]))
  return named.length === 0 ? undefined : Math.min(...named)
}

import type { ExecutionContext } from 'ava'
import { Backoff } from '../../../src/core/backoff.ts'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { Limiter } from '../../../src/core/limiter.ts'
import { RejectedTokens } from '../../../src/daemon/identity/rejected-tokens.ts'
import { watchItems } from '../../../src/daemon/mount/watch-items.ts'
import { Feeds } from '../../../src/daemon/refresh/feeds.ts'
import { collect, type Collected } from '../../../src/daemon/sources/collect.ts'
import { Fetcher } from '../../../src/daemon/sources/fetcher.ts'
import { secretKeyOf } from '../../../src/daemon/sources/secret-key.ts'
import type { Source, Value } from '../../../src/daemon/sources/source.ts'
import { spareSource } from '../../../src/daemon/sources/spare-source.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { itemOf, textOf, valueOf } from '../sources/values.ts'
import { workloadOf } from '../sources/workloads.ts'
import { WatchedSource, type OpenWatch } from './watched-source.ts'

/** The parts of a daemon that keep its volumes fresh. */
interface Node {
  readonly clock: FakeClock
  readonly sources: ReadonlyMap<string, Source>
  readonly feeds: Feeds
  readonly fetcher: Fetcher
  readonly random: () => number
}

export const INTERVAL_MS = 60_000
export const MINUTE_MS = 60_000
export const HOUR_MS = 60 * MINUTE_MS
/** For how long an API server keeps a watch. */
const WATCH_MS = 5 * MINUTE_MS

/** A call to the API server, answered or not, in milliseconds since the world began. */
export interface Attempt {
  readonly kind: 'watch' | 'fetch'
  readonly atMs: number
}

/** Draws of a seed, so that a failure comes again. */
export function drawsOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** An API server that comes and goes, and the volumes of a node that live off it: each with a secret of its own. */
export class OutageWorld {
  readonly clock = new FakeClock()
  readonly attempts: Attempt[] = []
  /** 'hangs' answers nothing at all, as behind a firewall. */
  state: 'up' | 'away' | 'hangs' = 'up'
  mayWatch = true
  readonly volumes: Volume[] = []
  readonly watched = new WatchedSource()
  readonly #versions = new Map<string, number>()
  readonly #bornMs = this.clock.now()
  readonly #random: () => number
  readonly #stopped = new AbortController()
  readonly #node: Node
  readonly #source: Source = {
    name: 'kubernetes',
    audience: '',
    fetch: (_workload, secret, signal) => this.#fetch(secret, signal),
    watch: (...asked) => this.watched.watch(...asked),
  }

  constructor(t: ExecutionContext, seed = 1) {
    const { clock } = this
    const random = drawsOf(seed)
    this.#random = random
    const rejected = new RejectedTokens({ clock, random })
    const source = spareSource(this.#source, { clock, random })
    const sources = new Map([[source.name, source]])
    const fetcher = new Fetcher({
      sources,
      clock,
      timeoutMs: 10_000,
      slots: new Limiter('fetches', 32, 4_096),
      rejected,
      onFetch: () => undefined,
    })
    const feeds = new Feeds({ clock, intervalMs: INTERVAL_MS, random, rejected })
    this.#node = { clock, sources, feeds, fetcher, random }
    this.watched.onOpen = (watch) => {
      this.#open(watch)
    }
    t.teardown(async () => {
      this.#stopped.abort(new LatchkeyError('ShuttingDown', 'the test is over'))
      await clock.advance(0)
    })
  }

  get nowMs(): number {
    return this.clock.now() - this.#bornMs
  }

  /** Volumes that show version 1 of a secret each, and begin to watch. */
  async mount(count: number): Promise<void> {
    for (let index = 0; index < count; index += 1) {
      const volume = new Volume(`s${this.volumes.length}`, () => this.nowMs)
      this.#versions.set(volume.secret, 1)
      this.volumes.push(volume)
      volume.run(this.#node, this.#stopped.signal).catch(() => undefined)
    }
    await this.clock.advance(10_000)
  }

  change(...volumes: readonly Volume[]): void {
    for (const { secret } of volumes) {
      const version = this.#versionOf(secret) + 1
      this.#versions.set(secret, version)
      if (this.state !== 'up') continue
      const open = this.watched.opened.filter((watch) => !watch.isOver && watch.secret === secret)
      for (const watch of open) watch.present(String(version))
    }
  }

  /** The API server ends every watch that is open, as it does when it stops. */
  endWatches(): void {
    for (const watch of this.watched.opened) if (!watch.isOver) watch.end()
  }

  /** Volumes that do not show what the API server has. */
  stale(): readonly Volume[] {
    return this.volumes.filter(({ shown, secret }) => shown !== this.#versionOf(secret))
  }

  attemptsIn(fromMs: number, toMs: number, kind?: Attempt['kind']): number {
    return this.attempts.filter(
      (one) => one.atMs >= fromMs && one.atMs < toMs && (kind === undefined || one.kind === kind),
    ).length
  }

  /** The most attempts in any window of this length between the two. */
  busiest(windowMs: number, fromMs: number, toMs: number): number {
    const times = this.attempts.flatMap(({ atMs }) => (atMs >= fromMs && atMs < toMs ? [atMs] : []))
    let [most, first] = [0, 0]
    for (const [last, atMs] of times.entries()) {
      while (atMs - (times[first] ?? 0) >= windowMs) first += 1
      most = Math.max(most, last - first + 1)
    }
    return most
  }

  #versionOf(secret: string): number {
    return this.#versions.get(secret) ?? 0
  }

  #open(watch: OpenWatch): void {
    this.attempts.push({ kind: 'watch', atMs: this.nowMs })
    if (this.state === 'hangs') {
      this.clock.after(10_000, () => watch.fail(new LatchkeyError('Timeout', 'no answer')))
    } else if (this.state === 'away') {
      watch.fail(new LatchkeyError('KubeUnavailable', 'connection refused'))
    } else if (!this.mayWatch) {
      watch.fail(new LatchkeyError('AccessDenied', 'forbidden'))
    } else {
      watch.present(String(this.#versionOf(watch.secret)))
      this.clock.after(WATCH_MS * (0.9 + 0.2 * this.#random()), () => {
        if (!watch.isOver) watch.end()
      })
    }
  }

  #fetch(secret: string, signal: AbortSignal): Promise<Value> {
    this.attempts.push({ kind: 'fetch', atMs: this.nowMs })
    const version = String(this.#versionOf(secret))
    if (this.state === 'up') return Promise.resolve(valueOf({ version }, { version }))
    if (this.state === 'away') {
      return Promise.reject(new LatchkeyError('KubeUnavailable', 'connection refused'))
    }
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(signal.reason as Error)
      })
    })
  }
}

/** One volume as the daemon keeps it fresh, with the pod's eyes in place of a shim. */
export class Volume {
  readonly secret: string
  /** The version that the pod sees. */
  shown = 1
  /** When it came to see it. */
  shownAtMs = 0
  readonly #nowMs: () => number

  constructor(secret: string, nowMs: () => number) {
    this.secret = secret
    this.#nowMs = nowMs
  }

  /** Looks when it is told to, and again and again after a failure. */
  async run(node: Node, signal: AbortSignal): Promise<void> {
    const item = itemOf({ secret: this.secret })
    const versions = new Map([[secretKeyOf(item), '1']])
    const workload = workloadOf()
    const changes = watchItems(
      { items: [item], versions, immutable: new Set(), isUrgent: false, workload: () => workload },
      node,
    )
    const backoff = new Backoff({ firstMs: 1_000, maxMs: 60_000 }, node.random)
    let isStale = false
    try {
      for (;;) {
        const isNews = await changes.next(isStale ? backoff.nextMs() : HOUR_MS, signal)
        if (!isNews && !isStale) continue
        try {
          this.#show(await collect(workload, [item], undefined, node.fetcher, signal))
          isStale = false
          backoff.reset()
        } catch {
          isStale = true
        }
      }
    } finally {
      changes.stop()
    }
  }

  #show({ files }: Collected): void {
    const [file] = files
    const version = Number(file === undefined ? 0 : textOf(file.data))
    if (version === this.shown) return
    this.shown = version
    this.shownAtMs = this.#nowMs()
  }
}

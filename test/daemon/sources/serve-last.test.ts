import { setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { LatchkeyError, type Reason } from '../../../src/core/errors.ts'
import { Limiter } from '../../../src/core/limiter.ts'
import type { Workload } from '../../../src/daemon/identity/workload.ts'
import { Feeds } from '../../../src/daemon/refresh/feeds.ts'
import { collect } from '../../../src/daemon/sources/collect.ts'
import { Fetcher } from '../../../src/daemon/sources/fetcher.ts'
import type { Item } from '../../../src/daemon/sources/item.ts'
import { LastValues } from '../../../src/daemon/sources/last-values.ts'
import { secretKeyOf } from '../../../src/daemon/sources/secret-key.ts'
import { serveLast } from '../../../src/daemon/sources/serve-last.ts'
import { sharingKeyOf } from '../../../src/daemon/sources/sharing-key.ts'
import type { Source, Value } from '../../../src/daemon/sources/source.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { itemOf, textOf, valueOf } from './values.ts'
import { workloadOf } from './workloads.ts'

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const SERVE_LAST = { lastForMs: HOUR_MS }

/** A source whose secrets a test sets, or takes away for a reason, and volumes that live off it. */
class World {
  readonly clock = new FakeClock()
  readonly secrets = new Map<string, () => Value>([['db', () => valueOf({ password: 'one' })]])
  away: Reason | undefined
  readonly lastValues: LastValues
  readonly feeds: Feeds
  readonly #source: Source = {
    name: 'kubernetes',
    audience: '',
    fetch: (_as, secret) => this.#fetch(secret),
  }
  readonly #fetching

  constructor(maxBytes = 100_000) {
    const { clock } = this
    this.lastValues = new LastValues({ clock, maxBytes, random: () => 0.5 })
    const { lastValues } = this
    this.feeds = new Feeds({ clock, intervalMs: MINUTE_MS, random: () => 0.5, lastValues })
    const fetcher = new Fetcher({
      sources: new Map([['kubernetes', this.#source]]),
      clock,
      timeoutMs: 10_000,
      slots: new Limiter('fetches', 8, 100),
      onFetch: () => undefined,
    })
    this.#fetching = serveLast({ fetcher, lastValues, clock })
  }

  /** A generation for one pod: its texts by path, or why there is none. */
  async collect(items: readonly Partial<Item>[] = [SERVE_LAST], as = workloadOf()) {
    const { signal } = new AbortController()
    const collected = await collect(as, items.map(itemOf), undefined, this.#fetching, signal)
    const texts = Object.fromEntries(collected.files.map(({ path, data }) => [path, textOf(data)]))
    return { ...collected, texts }
  }

  async reason(items?: readonly Partial<Item>[], as?: Workload): Promise<Reason | 'fine'> {
    try {
      await this.collect(items, as)
      return 'fine'
    } catch (thrown) {
      return LatchkeyError.from(thrown).reason
    }
  }

  /** A volume that stays: it fetches when it is told to, as sessions do. Answers how it ends. */
  async live(changes: Partial<Item> = SERVE_LAST, as = workloadOf()): Promise<() => void> {
    const item = itemOf(changes)
    const stop = this.feeds.subscribe({
      source: this.#source,
      secret: item.secret,
      version: '1',
      isUrgent: false,
      lastForMs: item.lastForMs,
      workload: () => as,
      onChange: () => void this.collect([changes], as).catch(() => undefined),
    })
    await this.clock.advance(0)
    return stop
  }

  #fetch(secret: string): Promise<Value> {
    if (this.away !== undefined) return Promise.reject(new LatchkeyError(this.away, 'as told'))
    const value = this.secrets.get(secret)?.()
    if (value !== undefined) return Promise.resolve(value)
    return Promise.reject(new LatchkeyError('SecretNotFound', `no ${secret}`))
  }
}

for (const away of ['SourceUnavailable', 'KubeUnavailable', 'Timeout'] as const) {
  test(`with the source away (${away}) a new pod gets what another of its account has, and is told so`, async (t) => {
    const on = new World()
    const stop = await on.live()
    const fetchedAtMs = on.clock.now()
    await on.clock.advance(20_000)
    t.is((await on.collect()).stale, undefined)
    on.away = away
    await on.clock.advance(5_000)
    const collected = await on.collect()
    t.deepEqual(collected.texts, { password: 'one' })
    t.deepEqual(collected.stale, { sinceMs: fetchedAtMs + 20_000, reason: away })
    t.is(collected.versions.get(secretKeyOf(itemOf())), '1')
    on.away = undefined
    t.is((await on.collect()).stale, undefined, 'back is back')
    stop()
  })
}

test('what ends by itself belongs to one pod: it is never kept for another', async (t) => {
  const on = new World()
  const term = { lease: undefined, lifeMs: HOUR_MS, endsAtMs: on.clock.now() + HOUR_MS }
  on.secrets.set('db', () => valueOf({ password: 'one' }, { term }))
  await on.live()
  await on.collect()
  t.is(on.lastValues.bytes, 0)
  on.away = 'SourceUnavailable'
  t.is(await on.reason(), 'SourceUnavailable')
})

test('nobody is served from memory who has not said so', async (t) => {
  const on = new World()
  const stop = await on.live()
  on.away = 'KubeUnavailable'
  t.is(await on.reason([{}]), 'KubeUnavailable')
  t.is(await on.reason(), 'fine')
  stop()
})

test('nothing is kept for volumes that have not said so', async (t) => {
  const on = new World()
  const stop = await on.live({})
  await on.collect()
  t.is(on.lastValues.bytes, 0)
  on.away = 'KubeUnavailable'
  t.is(await on.reason(), 'KubeUnavailable')
  stop()
})

for (const [what, changes] of [
  ['another namespace', { namespace: 'bank' }],
  ['another service account', { serviceAccount: 'web' }],
  ['a service account made anew', { serviceAccountUid: 'sa-2' }],
] as const) {
  test(`nothing is served to ${what}, though it may read the same`, async (t) => {
    const on = new World()
    const stop = await on.live()
    const other = workloadOf(changes)
    t.is(await on.reason([SERVE_LAST], other), 'fine')
    on.away = 'KubeUnavailable'
    t.is(await on.reason([SERVE_LAST], other), 'KubeUnavailable')
    t.is(await on.reason(), 'fine')
    stop()
  })
}

test('another pod of the same service account is served', async (t) => {
  const on = new World()
  const stop = await on.live()
  on.away = 'KubeUnavailable'
  const other = workloadOf({ podName: 'api-1', token: 'other' })
  t.deepEqual((await on.collect([SERVE_LAST], other)).texts, { password: 'one' })
  stop()
})

test('after the last volume has left nothing is served, nor anything kept', async (t) => {
  const on = new World()
  const [one, two] = [await on.live(), await on.live()]
  one()
  on.away = 'KubeUnavailable'
  t.is(await on.reason(), 'fine')
  two()
  t.is(on.lastValues.bytes, 0)
  t.is(await on.reason(), 'KubeUnavailable')
  t.is(on.feeds.size, 0)
  await on.clock.advance(0)
  t.is(on.clock.pending, 0)
})

for (const refusal of [
  'AccessDenied',
  'SecretNotFound',
  'InvalidRequest',
  'TokenRejected',
  'TokenMissing',
  'PayloadTooLarge',
  'Internal',
] as const) {
  test(`a source that says ${refusal} is believed, and what it gave before is dropped`, async (t) => {
    const on = new World()
    const stop = await on.live()
    t.true(on.lastValues.bytes > 0)
    on.away = refusal
    t.is(await on.reason(), refusal)
    t.is(on.lastValues.bytes, 0)
    on.away = 'KubeUnavailable'
    // With a token of its own: one that was rejected rests for a while.
    const other = workloadOf({ podName: 'api-1', token: 'other' })
    t.is(await on.reason([SERVE_LAST], other), 'KubeUnavailable')
    stop()
  })
}

for (const silence of ['Overloaded', 'ShuttingDown'] as const) {
  test(`${silence} says nothing against what was given before`, async (t) => {
    const on = new World()
    const stop = await on.live()
    on.away = silence
    t.is(await on.reason(), silence)
    on.away = 'KubeUnavailable'
    t.is(await on.reason(), 'fine')
    stop()
  })
}

test('one pod whose token has expired takes the value from the others for minutes only', async (t) => {
  const on = new World()
  const stop = await on.live()
  on.away = 'TokenRejected'
  const expired = workloadOf({ podName: 'api-1', token: 'expired' })
  t.is(await on.reason([SERVE_LAST], expired), 'TokenRejected')
  t.is(on.lastValues.bytes, 0)
  on.away = undefined
  await on.clock.advance(10 * MINUTE_MS)
  on.away = 'KubeUnavailable'
  t.is(await on.reason(), 'fine')
  stop()
})

for (const other of [
  'TokenRejected',
  'TokenMissing',
  'PayloadTooLarge',
  'Overloaded',
  'Internal',
] as const) {
  test(`${other} is no outage`, async (t) => {
    const on = new World()
    const stop = await on.live()
    on.away = other
    t.is(await on.reason(), other)
    stop()
  })
}

test('a value is served up to the age that the item takes', async (t) => {
  const on = new World()
  const stop = await on.live()
  on.away = 'KubeUnavailable'
  await on.clock.advance(MINUTE_MS)
  t.is(await on.reason([{ lastForMs: MINUTE_MS }]), 'fine')
  await on.clock.advance(1)
  t.is(await on.reason([{ lastForMs: MINUTE_MS }]), 'KubeUnavailable')
  t.is(await on.reason(), 'fine')
  await on.clock.advance(HOUR_MS - MINUTE_MS)
  t.is(await on.reason(), 'KubeUnavailable')
  stop()
})

test('a secret that has not changed for a day is still served when its source goes away', async (t) => {
  const on = new World()
  const watch: Source['watch'] = async function* (_workload, _secret, signal) {
    yield { version: '1', present: true }
    await new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        reject(signal.reason as Error)
      })
    })
  }
  const source = {
    name: 'kubernetes',
    audience: '',
    fetch: () => Promise.reject(new Error()),
    watch,
  }
  let looks = 0
  const stop = on.feeds.subscribe({
    source,
    secret: 'db',
    version: '1',
    isUrgent: false,
    lastForMs: HOUR_MS,
    workload: () => workloadOf(),
    onChange: () => {
      looks += 1
      void on.collect().catch(() => undefined)
    },
  })
  await on.clock.advance(24 * HOUR_MS)
  t.true(looks >= 48 && looks < 60, `${looks} looks in a day`)
  on.away = 'KubeUnavailable'
  await on.clock.advance(HOUR_MS / 2)
  t.is(await on.reason(), 'fine')
  stop()
})

test('a volume of an unchangeable secret keeps it too, and looks again once it was served from memory', async (t) => {
  const on = new World()
  on.secrets.set('db', () => valueOf({ password: 'one' }, { immutable: true }))
  const stop = on.feeds.subscribe({
    source: { name: 'kubernetes', audience: '', fetch: () => Promise.reject(new Error()) },
    secret: 'db',
    version: '1',
    isUrgent: false,
    isImmutable: true,
    lastForMs: HOUR_MS,
    workload: () => workloadOf(),
    onChange: () => void on.collect(),
  })
  await on.clock.advance(0)
  t.is(on.feeds.size, 0)
  on.away = 'KubeUnavailable'
  const { texts, immutable } = await on.collect()
  t.deepEqual(texts, { password: 'one' })
  t.is(immutable.size, 0)
  stop()
  t.is(on.lastValues.bytes, 0)
})

test('a volume of two secrets is as stale as the older of them, and whole or not at all', async (t) => {
  const on = new World()
  on.secrets.set('web', () => valueOf({ token: 'two' }))
  const bornMs = on.clock.now()
  const both = [SERVE_LAST, { ...SERVE_LAST, secret: 'web' }]
  const stops = [await on.live()]
  await on.clock.advance(10_000)
  stops.push(await on.live(both[1]))
  on.away = 'KubeUnavailable'
  const { texts, stale } = await on.collect(both)
  t.deepEqual(texts, { password: 'one', token: 'two' })
  t.is(stale?.sinceMs, bornMs)
  t.is(await on.reason([...both, { secret: 'other' }]), 'KubeUnavailable')
  for (const stop of stops) stop()
})

test('what does not fit is not kept, and the fetch is fine all the same', async (t) => {
  const on = new World(2)
  const stop = await on.live()
  t.deepEqual((await on.collect()).texts, { password: 'one' })
  t.is(on.lastValues.bytes, 0)
  on.away = 'KubeUnavailable'
  t.is(await on.reason(), 'KubeUnavailable')
  stop()
})

test('one who leaves during an outage is told why they left, and served nothing', async (t) => {
  const clock = new FakeClock()
  const lastValues = new LastValues({ clock, maxBytes: 100_000 })
  const key = sharingKeyOf(workloadOf(), 'kubernetes', 'db')
  t.teardown(lastValues.subscribe(key, { maxAgeMs: HOUR_MS, onDue: () => undefined }))
  lastValues.keep(key, valueOf({ password: 'one' }), clock.now())
  const leaving = new AbortController()
  const fetching = serveLast({
    clock,
    lastValues,
    fetcher: {
      async fetch() {
        await turn()
        throw new LatchkeyError('KubeUnavailable', 'away')
      },
    },
  })
  const answer = fetching.fetch(workloadOf(), 'kubernetes', 'db', leaving.signal, HOUR_MS)
  leaving.abort(new LatchkeyError('ShuttingDown', 'gone'))
  const { reason } = await t.throwsAsync(answer, { instanceOf: LatchkeyError })
  t.is(reason, 'KubeUnavailable')
})

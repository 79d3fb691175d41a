import { setImmediate as turn } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { Limiter } from '../../../src/core/limiter.ts'
import { RejectedTokens } from '../../../src/daemon/identity/rejected-tokens.ts'
import { Feeds } from '../../../src/daemon/refresh/feeds.ts'
import { Fetcher } from '../../../src/daemon/sources/fetcher.ts'
import type { Source } from '../../../src/daemon/sources/source.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { valueOf } from '../sources/values.ts'
import { EXPIRES_AT_MS, tokenOf, workloadOf } from '../sources/workloads.ts'
import { WatchedSource } from './watched-source.ts'

/** Feeds and a fetcher over one API server, to which some tokens are no good. */
function worldOf(t: ExecutionContext) {
  const clock = new FakeClock()
  const random = (): number => 0.5
  const rejected = new RejectedTokens({ clock, random })
  const good = new Set<string>()
  const fetchedWith: string[] = []
  const watched = new WatchedSource()
  watched.onOpen = (watch) => {
    if (!good.has(tokenOf(watch.workload))) {
      watch.fail(new LatchkeyError('TokenRejected', 'as told'))
    }
  }
  const source: Source = {
    name: 'kubernetes',
    audience: '',
    watch: (...asked) => watched.watch(...asked),
    fetch(workload) {
      fetchedWith.push(tokenOf(workload))
      if (good.has(tokenOf(workload))) return Promise.resolve(valueOf({ password: 'one' }))
      return Promise.reject(new LatchkeyError('TokenRejected', 'as told'))
    },
  }
  const feeds = new Feeds({ clock, intervalMs: 60_000, random, rejected })
  const fetcher = new Fetcher({
    sources: new Map([[source.name, source]]),
    clock,
    timeoutMs: 10_000,
    slots: new Limiter('fetches', 8, 8),
    rejected,
    onFetch: () => undefined,
  })
  const { signal } = new AbortController()
  return {
    clock,
    good,
    fetchedWith,
    watchedWith: () => watched.opened.map(({ workload }) => tokenOf(workload)),
    async fetch(token: string) {
      const answer = fetcher.fetch(workloadOf({ token }), 'kubernetes', 'db', signal)
      await answer.catch(() => undefined)
      await turn()
    },
    async listen(token: string, expiresAtMs = EXPIRES_AT_MS) {
      const stop = feeds.subscribe({
        source,
        secret: 'db',
        version: '1',
        isUrgent: false,
        workload: () => workloadOf({ token, expiresAtMs }),
        onChange: () => undefined,
      })
      t.teardown(stop)
      await clock.advance(0)
    },
  }
}

test('a token that was rejected when it fetched is not used to watch', async (t) => {
  const on = worldOf(t)
  await on.fetch('ended')
  on.good.add('alive')
  await on.listen('ended', EXPIRES_AT_MS + 1)
  t.deepEqual(on.watchedWith(), [])
  await on.listen('alive')
  await on.clock.advance(0)
  t.deepEqual(on.watchedWith(), ['alive'], 'at once, though the other is the newer one')
  await on.clock.advance(20 * 60_000)
  t.deepEqual(on.watchedWith(), ['alive'])
})

test('a token that was rejected when it watched is not used to fetch', async (t) => {
  const on = worldOf(t)
  await on.listen('ended')
  t.deepEqual(on.watchedWith(), ['ended'])
  await on.fetch('ended')
  t.deepEqual(on.fetchedWith, [])
  on.good.add('newer')
  await on.fetch('newer')
  t.deepEqual(on.fetchedWith, ['newer'])
})

test('a token that was rejected in passing comes back for both', async (t) => {
  const on = worldOf(t)
  await on.listen('doubted')
  on.good.add('doubted')
  await on.clock.advance(5_000)
  t.deepEqual(on.watchedWith(), ['doubted', 'doubted'])
  await on.fetch('doubted')
  t.deepEqual(on.fetchedWith, ['doubted'])
})

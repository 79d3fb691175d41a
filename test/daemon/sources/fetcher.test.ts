import { setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { LatchkeyError, type Reason } from '../../../src/core/errors.ts'
import { Limiter } from '../../../src/core/limiter.ts'
import type { Workload } from '../../../src/daemon/identity/workload.ts'
import { Fetcher } from '../../../src/daemon/sources/fetcher.ts'
import { wipeValue } from '../../../src/daemon/sources/value-bytes.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { ScriptedSource } from './scripted-source.ts'
import { isWiped, textsOf, valueOf } from './values.ts'
import { EXPIRES_AT_MS, tokenOf, workloadOf } from './workloads.ts'

const TIMEOUT_MS = 10_000

class World {
  readonly clock = new FakeClock()
  readonly source = new ScriptedSource()
  readonly other = new ScriptedSource('vault-prod')
  readonly fetched: { source: string; reason: Reason | undefined; durationMs: number }[] = []
  readonly fetcher: Fetcher

  constructor(slots = new Limiter('fetches', 8, 100)) {
    this.fetcher = new Fetcher({
      sources: new Map([this.source, this.other].map((one) => [one.name, one])),
      clock: this.clock,
      timeoutMs: TIMEOUT_MS,
      slots,
      onFetch: (source, reason, durationMs) => this.fetched.push({ source, reason, durationMs }),
    })
  }

  /** Asks, and waits until the source has been asked where it is to be. */
  async ask(workload = workloadOf(), secret = 'db', from = 'kubernetes') {
    const leaving = new AbortController()
    const answer = this.fetcher.fetch(workload, from, secret, leaving.signal)
    const settled = { isOver: false }
    answer.then(
      () => (settled.isOver = true),
      () => (settled.isOver = true),
    )
    await turn()
    return {
      answer,
      settled,
      leave: (): void => {
        leaving.abort(new LatchkeyError('ShuttingDown', 'the pod has gone'))
      },
    }
  }
}

async function reasonOf(answer: Promise<unknown>): Promise<Reason | undefined> {
  try {
    await answer
    return undefined
  } catch (thrown) {
    return LatchkeyError.from(thrown).reason
  }
}

test('a fetch answers what the source has, and says how long it took', async (t) => {
  const on = new World()
  const { answer } = await on.ask()
  await on.clock.advance(25)
  on.source.last().answer(valueOf({ password: 'one' }, { version: '7' }))
  const value = await answer
  t.is(value.version, '7')
  t.deepEqual(textsOf(value), { password: 'one' })
  t.deepEqual(on.fetched, [{ source: 'kubernetes', reason: undefined, durationMs: 25 }])
  t.is(on.clock.pending, 0)
  t.is(on.fetcher.size, 0)
})

test('those who ask in the same moment share one fetch', async (t) => {
  const on = new World()
  const asked = await Promise.all(Array.from({ length: 100 }, () => on.ask()))
  t.is(on.source.asked.length, 1)
  on.source.last().answer(valueOf({ password: 'one' }))
  for (const { answer } of asked) t.deepEqual(textsOf(await answer), { password: 'one' })
})

test('who asks during a fetch waits for the next one, and all of those share it', async (t) => {
  const on = new World()
  const first = await on.ask()
  const later = await Promise.all([on.ask(), on.ask()])
  t.is(on.source.asked.length, 1)
  on.source.last().answer(valueOf({ password: 'old' }))
  t.deepEqual(textsOf(await first.answer), { password: 'old' })
  await turn()
  t.is(on.source.asked.length, 2)
  t.false(
    later.some(({ settled }) => settled.isOver),
    'the old answer was not for them',
  )
  on.source.last().answer(valueOf({ password: 'new' }))
  for (const { answer } of later) t.deepEqual(textsOf(await answer), { password: 'new' })
})

test('who comes while a fetch waits for its slot takes part in it', async (t) => {
  const on = new World(new Limiter('fetches', 1, 100))
  const busy = await on.ask(workloadOf(), 'other')
  const asked = [await on.ask(), await on.ask()]
  t.is(on.source.asked.length, 1)
  on.source.last().answer(valueOf({ a: 'x' }))
  await busy.answer
  await turn()
  t.is(on.source.asked.length, 2)
  on.source.last('db').answer(valueOf({ password: 'one' }))
  for (const { answer } of asked) t.deepEqual(textsOf(await answer), { password: 'one' })
})

for (const [what, workload, secret, from] of [
  ['another secret', workloadOf(), 'other', 'kubernetes'],
  ['another source', workloadOf(), 'db', 'vault-prod'],
  ['another namespace', workloadOf({ namespace: 'bank' }), 'db', 'kubernetes'],
  ['another service account', workloadOf({ serviceAccount: 'web' }), 'db', 'kubernetes'],
  ['a service account made anew', workloadOf({ serviceAccountUid: 'sa-2' }), 'db', 'kubernetes'],
] as const) {
  test(`nothing is shared with ${what}`, async (t) => {
    const on = new World()
    const one = await on.ask()
    const two = await on.ask(workload, secret, from)
    t.is(on.source.asked.length + on.other.asked.length, 2)
    on.source.asked[0]?.answer(valueOf({ password: 'one' }))
    const last = from === 'kubernetes' ? on.source.last() : on.other.last()
    last.answer(valueOf({ password: 'two' }))
    t.deepEqual(textsOf(await one.answer), { password: 'one' })
    t.deepEqual(textsOf(await two.answer), { password: 'two' })
  })
}

test('each gets bytes of its own to wipe, and what was fetched is wiped at once', async (t) => {
  const on = new World()
  const [one, two] = await Promise.all([on.ask(), on.ask()])
  const fetched = valueOf({ password: 'one' })
  on.source.last().answer(fetched)
  wipeValue(await one.answer)
  t.true(isWiped(fetched))
  t.deepEqual(textsOf(await two.answer), { password: 'one' })
})

test('a failure reaches all who shared the fetch, and none who came later', async (t) => {
  const on = new World()
  const both = await Promise.all([on.ask(), on.ask()])
  const later = await on.ask()
  on.source.last().fail(new LatchkeyError('SourceUnavailable', 'sealed'))
  for (const { answer } of both) t.is(await reasonOf(answer), 'SourceUnavailable')
  await turn()
  on.source.last().answer(valueOf({ password: 'one' }))
  t.deepEqual(textsOf(await later.answer), { password: 'one' })
  t.deepEqual(
    on.fetched.map(({ reason }) => reason),
    ['SourceUnavailable', undefined],
  )
})

test('one who leaves hurts nobody who stays', async (t) => {
  const on = new World()
  const [one, two] = await Promise.all([on.ask(), on.ask()])
  one.leave()
  t.is(await reasonOf(one.answer), 'ShuttingDown')
  t.false(on.source.last().signal.aborted)
  on.source.last().answer(valueOf({ password: 'one' }))
  t.deepEqual(textsOf(await two.answer), { password: 'one' })
})

test('a fetch that nobody waits for is given up, and the next one begins', async (t) => {
  const on = new World()
  const both = await Promise.all([on.ask(), on.ask()])
  const later = await on.ask()
  for (const { leave, answer } of both) {
    leave()
    t.is(await reasonOf(answer), 'ShuttingDown')
  }
  t.true(on.source.asked[0]?.signal.aborted)
  await turn()
  t.is(on.source.asked.length, 2)
  on.source.last().answer(valueOf({ password: 'one' }))
  await later.answer
  t.deepEqual(
    on.fetched.map(({ reason }) => reason),
    [undefined],
    'what was given up says nothing about the source',
  )
})

test('bytes that come after everybody has left are wiped', async (t) => {
  const on = new World()
  on.source.isDeaf = true
  const { leave, answer } = await on.ask()
  leave()
  t.is(await reasonOf(answer), 'ShuttingDown')
  const late = valueOf({ password: 'one' })
  on.source.last().answer(late)
  await turn()
  t.true(isWiped(late))
})

test('bytes that come in the moment in which one leaves are wiped', async (t) => {
  const on = new World()
  const { leave, answer } = await on.ask()
  const fetched = valueOf({ password: 'one' })
  on.source.last().answer(fetched)
  leave()
  t.is(await reasonOf(answer), 'ShuttingDown')
  await turn()
  t.true(isWiped(fetched))
  t.is(on.fetcher.size, 0)
})

test('a signal that has aborted already asks nobody', async (t) => {
  const on = new World()
  const gone = AbortSignal.abort(new LatchkeyError('ShuttingDown', 'gone'))
  const answer = on.fetcher.fetch(workloadOf(), 'kubernetes', 'db', gone)
  t.is(await reasonOf(answer), 'ShuttingDown')
  t.is(on.source.asked.length, 0)
})

test('a source that does not answer is a Timeout, and its late bytes are wiped', async (t) => {
  const on = new World()
  on.source.isDeaf = true
  const { answer } = await on.ask()
  void answer.catch(() => undefined)
  await on.clock.advance(TIMEOUT_MS)
  const error = await t.throwsAsync(answer, { instanceOf: LatchkeyError })
  t.is(error.reason, 'Timeout')
  t.is(error.message, 'fetching from kubernetes took longer than 10 s')
  const late = valueOf({ password: 'one' })
  on.source.last().answer(late)
  await turn()
  t.true(isWiped(late))
  t.is(on.clock.pending, 0)
})

test('who waits for the next fetch waits twice as long at most', async (t) => {
  const on = new World(new Limiter('fetches', 1, 100))
  const busy = [on.ask(workloadOf(), 'a'), on.ask(workloadOf(), 'b'), on.ask(workloadOf(), 'c')]
  for (const { answer } of await Promise.all(busy)) void answer.catch(() => undefined)
  const { answer, settled } = await on.ask()
  void answer.catch(() => undefined)
  await on.clock.advance(2 * TIMEOUT_MS - 1)
  t.false(settled.isOver)
  await on.clock.advance(1)
  t.is(await reasonOf(answer), 'Timeout')
  await on.clock.advance(4 * TIMEOUT_MS)
  t.is(on.fetcher.size, 0)
  t.is(on.clock.pending, 0)
})

test('no more fetches than slots are under way, and more than may wait are Overloaded', async (t) => {
  const on = new World(new Limiter('fetches', 2, 1))
  const asked = []
  for (const secret of ['a', 'b', 'c', 'd']) asked.push(await on.ask(workloadOf(), secret))
  t.deepEqual(
    on.source.asked.map(({ secret }) => secret),
    ['a', 'b'],
  )
  const [, , , refused] = asked
  t.is(await reasonOf(refused?.answer ?? Promise.resolve()), 'Overloaded')
  on.source.last('a').answer(valueOf({}))
  await turn()
  on.source.last('c').answer(valueOf({}))
  on.source.last('b').answer(valueOf({}))
  await Promise.all(asked.slice(0, 3).map(({ answer }) => answer))
  t.is(on.fetcher.size, 0)
})

test('the newest tokens are used', async (t) => {
  const on = new World()
  const older = workloadOf({ token: 'older' })
  const newer = workloadOf({ token: 'newer', expiresAtMs: EXPIRES_AT_MS + 1 })
  await Promise.all([on.ask(older), on.ask(newer), on.ask(older)])
  t.deepEqual(on.source.asked.map(asToken), ['newer'])
  on.source.last().answer(valueOf({}))
})

test('a rejected token only costs the pod whose token it is', async (t) => {
  const on = new World()
  const ended = () => workloadOf({ token: 'ended', expiresAtMs: EXPIRES_AT_MS + 1 })
  const [one, alsoOne, two] = await Promise.all([
    on.ask(ended()),
    on.ask(ended()),
    on.ask(workloadOf({ token: 'alive', podName: 'api-1' })),
  ])
  on.source.last().fail(new LatchkeyError('TokenRejected', 'the pod has ended'))
  t.is(await reasonOf(one.answer), 'TokenRejected')
  t.is(await reasonOf(alsoOne.answer), 'TokenRejected')
  await turn()
  t.deepEqual(on.source.asked.map(asToken), ['ended', 'alive'])
  on.source.last().answer(valueOf({ password: 'one' }))
  t.deepEqual(textsOf(await two.answer), { password: 'one' })
})

test('a rejected token is not used again, by no volume, until newer ones come', async (t) => {
  const on = new World()
  const ended = () => workloadOf({ token: 'ended' })
  const first = await on.ask(ended())
  on.source.last().fail(new LatchkeyError('TokenRejected', 'the pod has ended'))
  t.is(await reasonOf(first.answer), 'TokenRejected')
  for (const secret of ['db', 'db', 'other']) {
    const again = await on.ask(ended(), secret)
    const { reason, message } = await t.throwsAsync(again.answer, { instanceOf: LatchkeyError })
    t.is(reason, 'TokenRejected')
    t.regex(message, /^kubernetes has rejected the pod's token/)
  }
  t.is(on.source.asked.length, 1)
  t.is(on.fetched.length, 1, 'nor is that said of the source')
  const newer = await on.ask(workloadOf({ token: 'newer' }))
  on.source.last().answer(valueOf({ password: 'one' }))
  t.deepEqual(textsOf(await newer.answer), { password: 'one' })
  t.deepEqual(on.source.asked.map(asToken), ['ended', 'newer'])
})

test('with none but a rejected token it is tried again, at rests that grow to a minute', async (t) => {
  const on = new World()
  const triedAtMs: number[] = []
  const bornMs = on.clock.now()
  for (let second = 0; second < 600; second += 1) {
    const before = on.source.asked.length
    const { answer } = await on.ask(workloadOf({ token: 'doubted' }))
    if (on.source.asked.length > before) {
      triedAtMs.push(on.clock.now() - bornMs)
      on.source.last().fail(new LatchkeyError('TokenRejected', 'in passing'))
    }
    t.is(await reasonOf(answer), 'TokenRejected')
    await on.clock.advance(1_000)
  }
  t.true(triedAtMs.length >= 10 && triedAtMs.length <= 14, `${triedAtMs.length} in ten minutes`)
  const rests = triedAtMs.slice(1).map((atMs, index) => atMs - (triedAtMs[index] ?? 0))
  t.true((rests[0] ?? 0) >= 4_500 && (rests[0] ?? 0) <= 6_500, rests.join())
  t.true(
    rests.slice(2).every((restMs) => restMs >= 54_000 && restMs <= 67_000),
    rests.join(),
  )
  await on.clock.advance(66_000)
  const { answer } = await on.ask(workloadOf({ token: 'doubted' }))
  on.source.last().answer(valueOf({ password: 'one' }))
  t.deepEqual(textsOf(await answer), { password: 'one' })
  const next = await on.ask(workloadOf({ token: 'doubted' }))
  on.source.last().answer(valueOf({ password: 'two' }))
  t.deepEqual(textsOf(await next.answer), { password: 'two' }, 'it was good all the time')
})

test('a resting token does not keep others of its service account from being served', async (t) => {
  const on = new World()
  const ended = () => workloadOf({ token: 'ended', expiresAtMs: EXPIRES_AT_MS + 1 })
  const first = await on.ask(ended())
  on.source.last().fail(new LatchkeyError('TokenRejected', 'the pod has ended'))
  await reasonOf(first.answer)
  const [one, two] = await Promise.all([on.ask(ended()), on.ask(workloadOf({ token: 'alive' }))])
  t.is(await reasonOf(one.answer), 'TokenRejected')
  on.source.last().answer(valueOf({ password: 'one' }))
  t.deepEqual(textsOf(await two.answer), { password: 'one' })
  t.deepEqual(on.source.asked.map(asToken), ['ended', 'alive'])
  await on.clock.advance(10_000)
  await Promise.all([on.ask(ended()), on.ask(workloadOf({ token: 'alive' }))])
  on.source.last().answer(valueOf({ password: 'one' }))
  t.deepEqual(on.source.asked.map(asToken), ['ended', 'alive', 'alive'], 'nor after its rest')
})

test('a missing token only costs the pod that has none', async (t) => {
  const on = new World()
  const without = workloadOf({ token: null, expiresAtMs: EXPIRES_AT_MS + 1 })
  const [one, two] = await Promise.all([on.ask(without), on.ask()])
  on.source.last().fail(new LatchkeyError('TokenMissing', 'none'))
  t.is(await reasonOf(one.answer), 'TokenMissing')
  await turn()
  on.source.last().answer(valueOf({ password: 'one' }))
  t.deepEqual(textsOf(await two.answer), { password: 'one' })
})

test('AccessDenied is for the service account, so nobody else’s token is tried', async (t) => {
  const on = new World()
  const both = await Promise.all([on.ask(), on.ask(workloadOf({ token: 'another' }))])
  on.source.last().fail(new LatchkeyError('AccessDenied', 'no'))
  for (const { answer } of both) t.is(await reasonOf(answer), 'AccessDenied')
  t.is(on.source.asked.length, 1)
})

test('a foreign error says nothing of its own in the metric', async (t) => {
  const on = new World()
  const { answer } = await on.ask()
  on.source.last().fail(new TypeError('canary'))
  await t.throwsAsync(answer, { instanceOf: TypeError })
  t.is(on.fetched[0]?.reason, 'Internal')
})

test('a source that nobody declared is an InvalidRequest', async (t) => {
  const on = new World()
  const { answer } = await on.ask(workloadOf(), 'db', 'nowhere')
  t.is(await reasonOf(answer), 'InvalidRequest')
})

function asToken({ workload }: { readonly workload: Workload }): string {
  return tokenOf(workload)
}

test('what ends by itself is given to one alone, and the others are given their own', async (t) => {
  const on = new World()
  const term = { lease: undefined, lifeMs: 60_000, endsAtMs: on.clock.now() + 60_000 }
  const first = await on.ask()
  const others = await Promise.all([on.ask(), on.ask()])
  on.source.last().answer(valueOf({ user: 'u-1' }, { term }))
  t.deepEqual(textsOf(await first.answer), { user: 'u-1' })
  await turn()
  on.source.last().answer(valueOf({ user: 'u-2' }, { term }))
  await turn()
  on.source.last().answer(valueOf({ user: 'u-3' }, { term }))
  const users = await Promise.all(others.map(async ({ answer }) => textsOf(await answer)['user']))
  t.deepEqual(users.toSorted(), ['u-2', 'u-3'])
  t.is(on.source.asked.length, 3)
})

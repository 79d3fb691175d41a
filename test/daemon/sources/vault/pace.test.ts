import test from 'ava'
import { LatchkeyError } from '../../../../src/core/errors.ts'
import { Pace } from '../../../../src/daemon/sources/vault/pace.ts'
import { VaultError } from '../../../../src/daemon/sources/vault/vault-error.ts'
import { FakeClock } from '../../../support/fake-clock.ts'

const NEVER = new AbortController().signal

function world({ concurrent = 4, perSecond = 10, random = () => 0.5 } = {}) {
  const clock = new FakeClock()
  const pace = new Pace({ name: 'vault-test', concurrent, perSecond, clock, random })
  const startedMs = clock.now()
  return { clock, pace, sinceMs: () => clock.now() - startedMs }
}

const sealed = (retryAfterMs?: number): VaultError =>
  new VaultError('SourceUnavailable', 'Vault is sealed', {
    status: 503,
    isSourceWide: true,
    retryAfterMs,
  })

async function failure(work: Promise<unknown>): Promise<LatchkeyError & Partial<VaultError>> {
  try {
    await work
  } catch (thrown) {
    if (thrown instanceof LatchkeyError) return thrown
    throw thrown
  }
  throw new Error('it did not fail')
}

test('no more calls are under way at once than the limit, and all come to their turn', async (t) => {
  const { pace, clock } = world({ concurrent: 3, perSecond: 1_000 })
  let running = 0
  let most = 0
  let ended = 0
  const all = [...Array(20).keys()].map(() =>
    pace.run(NEVER, async () => {
      running += 1
      most = Math.max(most, running)
      await new Promise(setImmediate)
      running -= 1
      ended += 1
    }),
  )
  await clock.advance(1_000)
  await Promise.all(all)
  t.is(most, 3)
  t.is(ended, 20)
})

test('a namespace with one call is served among those of one with hundreds', async (t) => {
  const { pace, clock } = world({ concurrent: 2, perSecond: 10 })
  const served: string[] = []
  const call = (tenant: string): Promise<unknown> =>
    pace.run(NEVER, () => Promise.resolve(served.push(tenant)), tenant)
  const all = Array.from({ length: 300 }, () => call('loud'))
  all.push(call('calm'))
  await clock.advance(60_000)
  await Promise.all(all)
  t.is(served.length, 301)
  t.true(served.indexOf('calm') < 10, `served as number ${served.indexOf('calm') + 1}`)
})

test("a second's worth of calls begins at once, the others at the rate", async (t) => {
  const { pace, clock, sinceMs } = world({ concurrent: 100, perSecond: 10 })
  const begunMs: number[] = []
  const all = [...Array(30).keys()].map(() =>
    pace.run(NEVER, () => {
      begunMs.push(sinceMs())
      return Promise.resolve()
    }),
  )
  await clock.advance(5_000)
  await Promise.all(all)
  t.is(begunMs.filter((ms) => ms === 0).length, 10)
  t.is(begunMs.filter((ms) => ms <= 1_000).length, 20)
  t.is(begunMs.at(-1), 2_000)
})

test('a clock that is set back by an hour holds nobody up for an hour', async (t) => {
  const { pace, clock } = world({ perSecond: 1 })
  await pace.run(NEVER, () => Promise.resolve())
  await clock.advance(-3_600_000)
  await pace.run(NEVER, () => Promise.resolve())
  t.is(clock.pending, 0)
})

test('a call that is given up leaves the line', async (t) => {
  const { pace, clock } = world({ concurrent: 1, perSecond: 1_000 })
  const gate = Promise.withResolvers<void>()
  const first = pace.run(NEVER, () => gate.promise)
  const impatient = new AbortController()
  const second = failure(pace.run(impatient.signal, () => Promise.reject(new Error('ran'))))
  await clock.advance(1)
  impatient.abort(new LatchkeyError('Timeout', 'too long'))
  t.is((await second).reason, 'Timeout')
  gate.resolve()
  await first
})

test('while a Vault is sealed, callers hear so at once and send nothing', async (t) => {
  const { pace } = world()
  await failure(pace.run(NEVER, () => Promise.reject(sealed(20_000))))
  t.true(pace.isClosed)
  const refused = await failure(pace.run(NEVER, () => Promise.reject(new Error('ran'))))
  t.is(refused.reason, 'SourceUnavailable')
  t.is(refused.message, 'Vault is sealed')
  t.true(refused.isSourceWide)
  // 22 s until the gate opens, and callers are spread over half as much again.
  t.is(refused.retryAfterMs, 27_500)
})

test('a short pause is waited for', async (t) => {
  const { pace, clock, sinceMs } = world()
  await failure(pace.run(NEVER, () => Promise.reject(sealed())))
  const next = pace.run(NEVER, () => Promise.resolve(sinceMs()))
  await clock.advance(2_000)
  t.true((await next) >= 500)
  t.false(pace.isClosed)
})

test('when a Vault comes back one call tries, and the others follow it', async (t) => {
  const { pace, clock } = world({ concurrent: 50, perSecond: 1_000 })
  await failure(pace.run(NEVER, () => Promise.reject(sealed())))
  const gate = Promise.withResolvers<void>()
  let begun = 0
  const all = [...Array(40).keys()].map(() =>
    pace.run(NEVER, async () => {
      begun += 1
      await gate.promise
    }),
  )
  await clock.advance(2_000)
  t.is(begun, 1)
  gate.resolve()
  await clock.advance(1_000)
  await Promise.all(all)
  t.is(begun, 40)
})

test('where the one that tries fails, the others hear of it without having asked', async (t) => {
  const { pace, clock } = world({ concurrent: 50, perSecond: 1_000 })
  await failure(pace.run(NEVER, () => Promise.reject(sealed())))
  let begun = 0
  const all = [...Array(40).keys()].map(() =>
    failure(
      pace.run(NEVER, () => {
        begun += 1
        return Promise.reject(sealed(30_000))
      }),
    ),
  )
  await clock.advance(5_000)
  const reasons = (await Promise.all(all)).map(({ reason }) => reason)
  t.deepEqual(new Set(reasons), new Set(['SourceUnavailable']))
  t.is(begun, 1)
})

test('the pause doubles while a Vault stays away, up to a minute, and not with every caller', async (t) => {
  const { pace, clock } = world({ concurrent: 50, perSecond: 1_000 })
  const pausesMs: number[] = []
  for (let round = 0; round < 9; round += 1) {
    const gate = Promise.withResolvers<void>()
    // On the first round several are under way when it goes away.
    const calls = [...Array(round === 0 ? 5 : 1).keys()].map(() =>
      failure(
        pace.run(NEVER, async () => {
          await gate.promise
          throw sealed()
        }),
      ),
    )
    await clock.advance(1)
    gate.resolve()
    await Promise.all(calls)
    const closedAtMs = clock.now()
    while (pace.isClosed && clock.now() - closedAtMs < 70_000) {
      const probe = new AbortController()
      const runs: number[] = []
      const tried = failure(
        pace.run(probe.signal, () => {
          runs.push(clock.now())
          return Promise.reject(new LatchkeyError('ShuttingDown', 'only looked'))
        }),
      )
      await clock.advance(0)
      probe.abort(new LatchkeyError('ShuttingDown', 'only looked'))
      await tried
      if (runs.length > 0) break
      await clock.advance(250)
    }
    pausesMs.push(clock.now() - closedAtMs)
  }
  t.deepEqual(pausesMs, [750, 1_500, 3_000, 6_000, 12_000, 24_000, 45_000, 45_000, 45_000])
})

test('a call that times out while it tries closes the gate again', async (t) => {
  const { pace, clock } = world()
  await failure(pace.run(NEVER, () => Promise.reject(sealed())))
  await clock.advance(1_000)
  const silent = new LatchkeyError('Timeout', 'no answer')
  await failure(pace.run(NEVER, () => Promise.reject(silent)))
  t.true(pace.isClosed)
  let hasRun = false
  const next = pace.run(NEVER, () => {
    hasRun = true
    return Promise.resolve()
  })
  await clock.advance(500)
  t.false(hasRun)
  await clock.advance(2_000)
  await next
})

test('trouble with one path says nothing about the others', async (t) => {
  const { pace } = world()
  const failed = new VaultError('SourceUnavailable', 'no database', { status: 500 })
  await failure(pace.run(NEVER, () => Promise.reject(failed)))
  await failure(pace.run(NEVER, () => Promise.reject(new LatchkeyError('Timeout', 'slow'))))
  t.false(pace.isClosed)
  t.is(await pace.run(NEVER, () => Promise.resolve('on')), 'on')
})

test('a refusal is an answer: whoever gives one is back', async (t) => {
  const { pace, clock } = world()
  await failure(pace.run(NEVER, () => Promise.reject(sealed())))
  await clock.advance(1_000)
  const denied = new VaultError('AccessDenied', 'no', { status: 403 })
  t.is(await failure(pace.run(NEVER, () => Promise.reject(denied))), denied)
  t.false(pace.isClosed)
})

test('a pause that is asked for is kept, within reason', async (t) => {
  for (const [askedMs, keptMs] of [
    [7_000, 7_700],
    [86_400_000, 330_000],
  ] as const) {
    const { pace } = world({ random: () => 0.5 })
    await failure(pace.run(NEVER, () => Promise.reject(sealed(askedMs))))
    const { retryAfterMs } = await failure(pace.run(NEVER, () => Promise.resolve()))
    t.is(retryAfterMs, Math.ceil(keptMs * 1.25))
  }
})

test('a line that is too long refuses whoever comes next', async (t) => {
  const { pace, clock } = world({ concurrent: 1, perSecond: 1_000 })
  const gate = Promise.withResolvers<void>()
  const patience = new AbortController()
  const line = [...Array(1_001).keys()].map(() =>
    failure(pace.run(patience.signal, () => gate.promise)).catch(() => undefined),
  )
  await clock.advance(1)
  t.is((await failure(pace.run(NEVER, () => Promise.resolve()))).reason, 'Overloaded')
  patience.abort(new LatchkeyError('ShuttingDown', 'over'))
  gate.resolve()
  await Promise.all(line)
})

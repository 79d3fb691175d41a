import { setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { LatchkeyError, type Reason } from '../../../src/core/errors.ts'
import type { Workload } from '../../../src/daemon/identity/workload.ts'
import { spareSource } from '../../../src/daemon/sources/spare-source.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { WatchedSource } from '../refresh/watched-source.ts'
import { ScriptedSource } from './scripted-source.ts'
import { valueOf } from './values.ts'
import { workloadOf } from './workloads.ts'

const { signal } = new AbortController()

class World {
  readonly clock = new FakeClock()
  readonly source = new ScriptedSource()
  readonly spared = spareSource(this.source, { clock: this.clock, random: () => 0.5 })

  /** Answers why it failed, or that it was fine; the source, if it is asked, fails for `reason`. */
  async fetch(
    reason: Reason | undefined,
    { afterMs = 0, as = workloadOf(), secret = 'db' } = {},
  ): Promise<Reason | undefined> {
    const before = this.source.asked.length
    const answer = this.spared.fetch(as, secret, signal).then(
      () => undefined,
      (thrown: unknown) => LatchkeyError.from(thrown).reason,
    )
    await turn()
    if (this.source.asked.length > before) {
      if (afterMs > 0) await this.clock.advance(afterMs)
      if (reason === undefined) this.source.last().answer(valueOf({ password: 'one' }))
      else this.source.last().fail(new LatchkeyError(reason, 'as told'))
    }
    return answer
  }

  /** So many failures that the source counts as away. */
  async loseIt(reason: Reason = 'KubeUnavailable'): Promise<void> {
    for (let time = 0; time < 5; time += 1) await this.fetch(reason)
  }

  get asked(): number {
    return this.source.asked.length
  }
}

test('a source that is there is asked each time', async (t) => {
  const on = new World()
  for (let time = 0; time < 20; time += 1) t.is(await on.fetch(undefined), undefined)
  t.is(on.asked, 20)
})

test('a source that is away is asked every two seconds, and the others hear what the last one heard', async (t) => {
  const on = new World()
  await on.loseIt('SourceUnavailable')
  t.is(on.asked, 5)
  for (let tenth = 0; tenth < 200; tenth += 1) {
    t.is(await on.fetch('SourceUnavailable'), 'SourceUnavailable')
    await on.clock.advance(100)
  }
  t.is(on.asked, 5 + 9)
})

test('the first answer ends it, for all at once', async (t) => {
  const on = new World()
  await on.loseIt()
  t.is(await on.fetch(undefined), 'KubeUnavailable')
  await on.clock.advance(2_000)
  t.is(await on.fetch(undefined), undefined)
  for (let time = 0; time < 10; time += 1) t.is(await on.fetch(undefined), undefined)
})

for (const refusal of [
  'AccessDenied',
  'SecretNotFound',
  'TokenRejected',
  'PayloadTooLarge',
] as const) {
  test(`a source that says ${refusal} is there`, async (t) => {
    const on = new World()
    for (let time = 0; time < 4; time += 1) await on.fetch('KubeUnavailable')
    t.is(await on.fetch(refusal), refusal)
    for (let time = 0; time < 4; time += 1) await on.fetch('KubeUnavailable')
    t.is(await on.fetch(undefined), undefined)
  })
}

for (const neither of ['TokenMissing', 'Overloaded', 'ShuttingDown'] as const) {
  test(`${neither} says nothing of the source`, async (t) => {
    const on = new World()
    for (let time = 0; time < 10; time += 1) t.is(await on.fetch(neither), neither)
    await on.loseIt()
    const { asked } = on
    await on.clock.advance(2_000)
    t.is(await on.fetch(neither), neither)
    t.is(await on.fetch(undefined), 'KubeUnavailable')
    t.is(on.asked, asked + 1)
  })
}

test('what fails for one namespace is tried for another', async (t) => {
  const on = new World()
  const as = workloadOf({ namespace: 'bank' })
  await on.loseIt()
  t.is(await on.fetch(undefined), 'KubeUnavailable')
  t.is(await on.fetch(undefined, { as }), undefined)
  t.is(
    await on.fetch(undefined),
    'KubeUnavailable',
    'nor does the answer to one speak for the other',
  )
})

test('what has not failed is tried, and an answer to it is one for the whole namespace', async (t) => {
  const on = new World()
  await on.loseIt()
  t.is(await on.fetch('KubeUnavailable', { secret: 'web' }), 'KubeUnavailable')
  t.is(on.asked, 6, 'once')
  t.is(await on.fetch(undefined, { secret: 'web' }), 'KubeUnavailable')
  t.is(on.asked, 6)
  t.is(await on.fetch(undefined, { as: workloadOf({ serviceAccount: 'web' }) }), undefined)
  t.is(await on.fetch(undefined), undefined)
})

test('each is told what it was told itself, never what another service account was', async (t) => {
  const on = new World()
  const web = workloadOf({ serviceAccount: 'web' })
  const messageOf = async (as: Workload, tell?: string) => {
    const answer = on.spared.fetch(as, 'db', signal)
    await turn()
    if (tell !== undefined) on.source.last().fail(new LatchkeyError('KubeUnavailable', tell))
    return (await t.throwsAsync(answer)).message
  }
  for (let time = 0; time < 4; time += 1) await messageOf(workloadOf(), 'no way for api')
  t.is(await messageOf(web, 'no way for web'), 'no way for web')
  t.is(await messageOf(workloadOf()), 'no way for api')
  t.is(await messageOf(web), 'no way for web')
  t.is(on.asked, 5)
})

test('of more than are remembered nobody is let through, and they are told nothing of others', async (t) => {
  const on = new World()
  for (let nth = 0; nth < 64; nth += 1) {
    await on.fetch('KubeUnavailable', { secret: `db-${nth}` })
  }
  t.is(on.asked, 64)
  const late = on.spared.fetch(workloadOf(), 'late', signal)
  const { reason, message } = await t.throwsAsync(late, { instanceOf: LatchkeyError })
  t.is(reason, 'KubeUnavailable')
  t.is(message, 'the source did not answer of late, and is asked again in a moment')
  t.is(on.asked, 64)
  await on.clock.advance(3_000)
  t.is(await on.fetch(undefined, { secret: 'late' }), undefined)
  t.is(await on.fetch(undefined), undefined)
})

test('a fetch that is given up at once is no failure, one that was waited for is', async (t) => {
  const on = new World()
  for (let time = 0; time < 10; time += 1) await on.fetch('Timeout')
  t.is(await on.fetch(undefined), undefined)
  for (let time = 0; time < 5; time += 1) await on.fetch('Timeout', { afterMs: 1_000 })
  t.is(await on.fetch(undefined), 'Timeout')
})

test('a clock that is set back does not lock a source', async (t) => {
  let nowMs = 10_000_000
  const source = new ScriptedSource()
  const clock = { now: () => nowMs, after: () => () => undefined }
  const spared = spareSource(source, { clock, random: () => 0.5 })
  for (let time = 0; time < 6; time += 1) {
    const answer = spared.fetch(workloadOf(), 'db', signal)
    await turn()
    source.last().fail(new LatchkeyError('KubeUnavailable', 'as told'))
    await t.throwsAsync(answer)
  }
  t.is(source.asked.length, 5)
  nowMs -= 3_600_000
  void spared.fetch(workloadOf(), 'db', signal).catch(() => undefined)
  t.is(source.asked.length, 6)
})

test('watches and fetches know of each other', async (t) => {
  const clock = new FakeClock()
  const watched = new WatchedSource()
  const spared = spareSource(watched, { clock, random: () => 0.5 })
  const watch = async (): Promise<Reason | 'began'> => {
    try {
      const changes = spared.watch?.(workloadOf(), 'db', signal) ?? []
      for await (const { version } of changes) return version === '1' ? 'began' : 'Internal'
      return 'Internal'
    } catch (thrown) {
      return LatchkeyError.from(thrown).reason
    }
  }
  watched.onOpen = (open) => open.fail(new LatchkeyError('KubeUnavailable', 'as told'))
  for (let time = 0; time < 10; time += 1) t.is(await watch(), 'KubeUnavailable')
  t.is(watched.opened.length, 5)
  const { message } = await t.throwsAsync(spared.fetch(workloadOf(), 'db', signal))
  t.is(message, 'as told')
  await clock.advance(2_000)
  watched.onOpen = (open) => open.present('1')
  t.is(await watch(), 'began')
  t.is(await watch(), 'began')
  t.is(watched.opened.length, 7)
})

test('a source that cannot be watched stays so', (t) => {
  const clock = new FakeClock()
  t.false('watch' in spareSource(new ScriptedSource(), { clock }))
  const spared = spareSource(new WatchedSource('vault-prod'), { clock })
  t.deepEqual([spared.name, spared.audience], ['vault-prod', ''])
})

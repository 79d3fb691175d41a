import test from 'ava'
import { hostBeats, hostConnected, judge, registered } from '../../src/daemon/health.ts'
import { ShimReports } from '../../src/daemon/mount/shim-reports.ts'
import type { ShimReport__Output } from '../../src/wire/gen/latchkey/mount/v1/ShimReport.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { until } from '../support/until.ts'

/** A daemon that has just started, and the one host side that reports to it. */
class World {
  readonly clock = new FakeClock()
  readonly reports = new ShimReports(this.clock)
  readonly #startedAtMs = this.clock.now()
  #hangUp = Promise.withResolvers<void>()

  isAlive(): boolean {
    const age = (): number => this.clock.now() - this.#startedAtMs
    return judge({ host: hostBeats(this.reports, age) }).isGood
  }

  /** Opens a report stream, with one report on it. */
  async report(changes: Partial<ShimReport__Output> = {}): Promise<void> {
    this.#hangUp = Promise.withResolvers()
    const report = {
      version: '1',
      registered: true,
      registrationError: '',
      metricsText: '',
      held: [],
    }
    const hungUp = this.#hangUp.promise
    async function* stream(): AsyncIterable<ShimReport__Output> {
      yield { ...report, ...changes }
      await hungUp
    }
    let isTaken = false
    const acknowledge = (): Promise<void> => {
      isTaken = true
      return Promise.resolve()
    }
    void this.reports.follow(stream(), acknowledge)
    await until(() => isTaken, { what: 'the report to be taken' })
  }

  async hangUp(): Promise<void> {
    this.#hangUp.resolve()
    await until(() => !this.reports.isConnected, { what: 'the end of the stream' })
  }
}

test('a verdict is good where every check is', (t) => {
  t.deepEqual(judge({}), { isGood: true, lines: [] })
  t.deepEqual(judge({ a: () => undefined, b: () => 'no' }), {
    isGood: false,
    lines: ['[+]a ok', '[-]b failed: no'],
  })
})

test('a check that breaks has failed, and the others are still asked', (t) => {
  const broken = (): undefined => {
    throw new Error('hunter2')
  }
  t.deepEqual(judge({ a: broken, b: () => undefined }), {
    isGood: false,
    lines: ['[-]a failed: the check itself broke', '[+]b ok'],
  })
})

test('what somebody else wrote stays on its line', (t) => {
  const { lines } = judge({ a: () => `no\n[+]b ok\r\n${'x'.repeat(1_000)}` })
  t.is(lines.length, 1)
  t.regex(lines[0] ?? '', /^\[-\]a failed: no \[\+\]b ok x+$/)
  t.true((lines[0]?.length ?? 0) < 300)
})

test('the host side is given two minutes to report for the first time', async (t) => {
  const on = new World()
  t.true(on.isAlive())
  await on.clock.advance(119_999)
  t.true(on.isAlive())
  await on.clock.advance(1)
  t.false(on.isAlive())
  await on.report()
  t.true(on.isAlive())
})

test('the host side is alive for 90 s after each report, also through a broken stream', async (t) => {
  const on = new World()
  await on.report()
  await on.hangUp()
  await on.clock.advance(89_999)
  t.true(on.isAlive())
  await on.clock.advance(1)
  t.false(on.isAlive())
})

test('ready means connected and registered, and the text says which of it is missing', async (t) => {
  const on = new World()
  const ready = (): readonly string[] =>
    judge({ host: hostConnected(on.reports), registered: registered(on.reports) }).lines
  t.deepEqual(ready(), [
    '[-]host failed: the host side is not connected',
    '[-]registered failed: kubelet has not confirmed the driver',
  ])
  await on.report({ registered: false, registrationError: 'no such version' })
  t.deepEqual(ready(), [
    '[+]host ok',
    '[-]registered failed: kubelet refused the driver: no such version',
  ])
  await on.report({ registered: true })
  t.deepEqual(ready(), ['[+]host ok', '[+]registered ok'])
})

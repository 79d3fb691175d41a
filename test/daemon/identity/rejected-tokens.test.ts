import test from 'ava'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import { RejectedTokens } from '../../../src/daemon/identity/rejected-tokens.ts'
import { FakeClock } from '../../support/fake-clock.ts'

function worldOf(random = 0.5) {
  const clock = new FakeClock()
  const rejected = new RejectedTokens({ clock, random: () => random })
  const bornMs = clock.now()
  return {
    clock,
    rejected,
    reject: (text: string) => {
      rejected.reject('kubernetes', tokenOf(text))
    },
    /** For how long it is left alone from now on. */
    restMs: (text: string, source = 'kubernetes') => {
      const untilMs = rejected.restsUntilMs(source, tokenOf(text))
      return untilMs === undefined ? 0 : untilMs - clock.now()
    },
    nowMs: () => clock.now() - bornMs,
  }
}

/** Each has bytes of its own, as volumes do. */
function tokenOf(text: string): SecretBytes {
  return new SecretBytes(Buffer.from(text))
}

test('a rejected token rests wherever it lies, and no other does', (t) => {
  const { rejected, reject, restMs } = worldOf()
  t.is(restMs('ended'), 0)
  reject('ended')
  t.is(restMs('ended'), 5_000)
  t.is(restMs('newer'), 0)
  t.is(restMs('ended', 'vault-prod'), 0, 'another source may accept it')
  t.is(rejected.restsUntilMs('kubernetes', undefined), undefined)
})

test('its rests grow to a minute, and stay so', async (t) => {
  const { clock, rejected, reject, restMs } = worldOf()
  const rests: number[] = []
  for (let time = 0; time < 6; time += 1) {
    reject('ended')
    rests.push(restMs('ended'))
    await clock.advance(restMs('ended') - 1)
    t.is(restMs('ended'), 1)
    await clock.advance(1)
    t.is(restMs('ended'), 0)
    t.true(rejected.isDoubted('kubernetes', tokenOf('ended')), 'another is better')
  }
  t.deepEqual(rests, [5_000, 15_000, 60_000, 60_000, 60_000, 60_000])
})

test('rests are drawn a tenth to either side', (t) => {
  for (const [random, restMs] of [
    [0, 4_500],
    [1, 5_500],
  ] as const) {
    const on = worldOf(random)
    on.reject('ended')
    t.is(on.restMs('ended'), restMs)
  }
})

test('a token that is accepted after all begins anew', async (t) => {
  const { clock, rejected, reject, restMs } = worldOf()
  reject('fine')
  await clock.advance(5_000)
  rejected.accept('kubernetes', tokenOf('fine'))
  t.is(rejected.size, 0)
  reject('fine')
  t.is(restMs('fine'), 5_000)
})

test('what nobody tries any more is forgotten, and what is kept has a bound', async (t) => {
  const { clock, rejected, reject } = worldOf()
  reject('replaced')
  await clock.advance(60 * 60_000 + 5_001)
  reject('another')
  t.is(rejected.size, 1)
  for (let token = 0; token < 5_000; token += 1) reject(`token ${token}`)
  t.is(rejected.size, 4_096)
})

import test from 'ava'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import { HeldSecrets } from '../../../src/daemon/refresh/held-secrets.ts'
import type { Holdings } from '../../../src/daemon/refresh/holdings.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { HoldingsWorld, LIFE_MS } from './holdings-world.ts'

/*
 * A volume that cannot be delivered, such as one of which another secret was deleted: its pod goes on with what it
 * sees, however often that has been asked for anew meanwhile.
 */

/** Asks for its lease anew and gets one that the pod is never shown. */
async function replaced(on: HoldingsWorld): Promise<Holdings> {
  const holdings = on.open()
  await on.user(holdings)
  holdings.settle()
  on.source.onReplaced('r', on.clock.now() + LIFE_MS)
  await on.user(holdings)
  return holdings
}

/** Which of the source's leases were prolonged in the last life. */
async function renewedInALife(on: HoldingsWorld): Promise<readonly string[]> {
  const before = on.source.renewals.length
  await on.clock.advance(LIFE_MS)
  return [...new Set(on.source.renewals.slice(before))].toSorted()
}

test('a lease is prolonged until the pod sees the one that took its place', async (t) => {
  const on = new HoldingsWorld()
  const holdings = await replaced(on)
  for (let life = 0; life < 5; life += 1) t.deepEqual(await renewedInALife(on), ['u-1', 'u-2'])
  holdings.settle()
  t.deepEqual(await renewedInALife(on), ['u-2'])
})

test('a lease that is due and does not come anew is prolonged meanwhile', async (t) => {
  const on = new HoldingsWorld()
  const holdings = on.open()
  await on.user(holdings)
  on.source.onReplaced('r', on.clock.now() + LIFE_MS)
  for (let life = 0; life < 5; life += 1) t.deepEqual(await renewedInALife(on), ['u-1'])
  t.true(on.dues > 5, 'and is asked for all the time')
  t.is(await on.user(holdings), 'u-2')
})

test('it lives through an outage, and is let go of once its source has ended it', async (t) => {
  const on = new HoldingsWorld()
  await replaced(on)
  on.source.away = 'SourceUnavailable'
  await on.clock.advance(LIFE_MS - 10_000)
  on.source.away = undefined
  t.deepEqual(await renewedInALife(on), ['u-1', 'u-2'])
  on.source.users.delete('u-1')
  await on.clock.advance(LIFE_MS)
  t.deepEqual(await renewedInALife(on), ['u-2'])
})

test('one that may live no longer is let go of', async (t) => {
  const on = new HoldingsWorld()
  await replaced(on)
  on.source.renewedMs = LIFE_MS / 4
  await on.clock.advance(LIFE_MS)
  t.is(on.source.renewals.filter((user) => user === 'u-1').length, 1)
})

test('one that has ended by itself is looked after no longer once another one takes its place', async (t) => {
  const clock = new FakeClock()
  const secrets = new HeldSecrets(clock, () => 0.5)
  const keep = (id: string): void => {
    const lease = { id: SecretBytes.copyOf(Buffer.from(id)), isRenewable: true }
    const term = { lease, lifeMs: LIFE_MS, endsAtMs: clock.now() + LIFE_MS }
    const value = { entries: new Map(), version: '1', immutable: false, term }
    secrets.keep({ source: 'vault', ask: 'database/creds/shop', value, isDue: false })
  }
  const count = (): readonly number[] => [secrets.tended.length, secrets.replaced.length]
  keep('u-1')
  keep('u-2')
  t.deepEqual(count(), [2, 1])
  for (let life = 0; life < 5; life += 1) {
    await clock.advance(LIFE_MS)
    keep('next')
    t.deepEqual(count(), [2, 1])
  }
})

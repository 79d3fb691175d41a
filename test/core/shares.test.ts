import test from 'ava'
import { Shares } from '../../src/core/shares.ts'

/** As much as a tenant gets, by so much at once. */
function fill(shares: Shares, tenant: string, step = 1): number {
  while (shares.fits(tenant, step)) shares.add(tenant, step)
  return shares.of(tenant)
}

test('one tenant alone gets four of five, and whoever comes after it four of five of what is left', (t) => {
  const shares = new Shares(1_000)
  t.is(fill(shares, 'loud'), 800)
  t.is(fill(shares, 'calm'), 160)
  t.is(fill(shares, 'late'), 32)
  t.false(shares.fits('loud', 1))
  t.is(shares.total, 992)
})

test('no step is larger than what is free', (t) => {
  const shares = new Shares(1_000)
  t.is(fill(shares, 'loud', 300), 900)
  t.false(shares.fits('calm', 101))
  t.true(shares.fits('calm', 100))
})

test('what is given back is there for the next', (t) => {
  const shares = new Shares(100)
  fill(shares, 'loud')
  shares.add('loud', -80)
  t.is(shares.total, 0)
  t.is(fill(shares, 'calm'), 80)
})

test('of a room of nothing nobody gets anything', (t) => {
  t.false(new Shares(0).fits('calm', 1))
})

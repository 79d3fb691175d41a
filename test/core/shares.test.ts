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

test('in larger steps nobody gets more than in small ones', (t) => {
  const shares = new Shares(1_000)
  t.false(shares.fits('loud', 1_000))
  t.false(shares.fits('loud', 801))
  t.true(shares.fits('loud', 800))
  t.is(fill(shares, 'loud', 300), 600)
  t.false(shares.fits('loud', 201))
  t.true(shares.fits('loud', 200))
  t.is(fill(shares, 'calm', 320), 320)
})

test('no step is larger than what is free', (t) => {
  const shares = new Shares(1_000)
  shares.add('loud', 1_000)
  t.false(shares.fits('calm', 1))
  shares.add('loud', -1)
  t.true(shares.fits('calm', 1))
  t.false(shares.fits('calm', 2))
})

test('of a few places the last one that is free is nobody’s who has some, and the only one is anybody’s', (t) => {
  t.is(fill(new Shares(8), 'loud'), 7)
  t.is(fill(new Shares(1), 'loud'), 1)
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

import test from 'ava'

import { median, percentile } from './spread.ts'

test('a percentile is the value that was measured at its nearest rank', (t) => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
  t.is(percentile(hundred, 0.5), 50)
  t.is(percentile(hundred, 0.99), 99)
  t.is(percentile(hundred, 1), 100)
  t.is(percentile(hundred, 0), 1)
})

test('a percentile of few values is one of them, not one in between', (t) => {
  t.is(percentile([7], 0.99), 7)
  t.is(percentile([1, 100], 0.5), 1)
  t.is(percentile([3, 1, 2], 0.99), 3)
})

test('the median of an odd number of values is the middle one, of an even number the mean of both', (t) => {
  t.is(median([9, 1, 5]), 5)
  t.is(median([4, 1, 3, 2]), 2.5)
  t.is(median([8]), 8)
})

test('numbers are sorted as numbers, and the caller keeps his order', (t) => {
  const values = [10, 9, 100]
  t.is(median(values), 10)
  t.is(percentile(values, 1), 100)
  t.deepEqual(values, [10, 9, 100])
})

test('of nothing there is no median and no percentile', (t) => {
  t.throws(() => median([]), { instanceOf: RangeError, message: 'nothing was measured' })
  t.throws(() => percentile([], 0.5), { instanceOf: RangeError })
})

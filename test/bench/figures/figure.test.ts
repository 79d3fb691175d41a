import test from 'ava'

import { describeGoal, isMet, ratioOf, type Figure } from './figure.ts'

const figure: Figure = { name: 'p50', unit: 'ms', ours: 6, theirs: 3 }

test('the ratio is ours as a multiple of theirs', (t) => {
  t.is(ratioOf(figure), 2)
})

test('with nothing to compare with there is no ratio', (t) => {
  t.is(ratioOf({ name: 'p50', unit: 'ms', ours: 6 }), undefined)
  t.is(ratioOf({ ...figure, theirs: 0 }), undefined)
})

test('a goal that is just reached is met, unless it says under', (t) => {
  t.true(isMet({ ...figure, goal: { of: 'ratio', is: 'at most', bound: 2 } }))
  t.true(isMet({ ...figure, goal: { of: 'ratio', is: 'at least', bound: 2 } }))
  t.false(isMet({ ...figure, goal: { of: 'ratio', is: 'under', bound: 2 } }))
})

test('a goal that is missed is said to be', (t) => {
  t.false(isMet({ ...figure, goal: { of: 'ratio', is: 'at most', bound: 1.9 } }))
  t.false(isMet({ ...figure, goal: { of: 'ratio', is: 'at least', bound: 2.1 } }))
})

test('a goal of our own number has no regard to theirs', (t) => {
  t.true(isMet({ ...figure, goal: { of: 'ours', is: 'under', bound: 7 } }))
  t.false(isMet({ ...figure, goal: { of: 'ours', is: 'at most', bound: 5 } }))
})

test('where a goal is about what is not there, nothing is claimed', (t) => {
  const alone: Figure = { name: 'p50', unit: 'ms', ours: 6 }
  t.is(isMet(alone), undefined)
  t.is(isMet({ ...alone, goal: { of: 'ratio', is: 'at most', bound: 2 } }), undefined)
  t.is(isMet({ ...alone, ours: NaN, goal: { of: 'ours', is: 'at least', bound: 2 } }), undefined)
})

test('goals read as multiples, or in the unit of the figure', (t) => {
  t.is(describeGoal({ ...figure, goal: { of: 'ratio', is: 'at most', bound: 2 } }), 'at most 2x')
  t.is(describeGoal({ ...figure, goal: { of: 'ours', is: 'under', bound: 300 } }), 'under 300 ms')
  const count: Figure = { ...figure, unit: '', goal: { of: 'ours', is: 'at most', bound: 0 } }
  t.is(describeGoal(count), 'at most 0')
  t.is(describeGoal(figure), '')
})

import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { Admission } from '../../src/host/admission.ts'

/** As many as get in. */
function fill(admission: Admission, namespace: string): (() => void)[] {
  const places: (() => void)[] = []
  for (;;) {
    try {
      places.push(admission.enter(namespace))
    } catch (thrown) {
      if (LatchkeyError.from(thrown).reason === 'Overloaded') return places
      throw thrown
    }
  }
}

test('one namespace alone gets most places, and never all', (t) => {
  const admission = new Admission(100)
  t.is(fill(admission, 'loud').length, 80)
})

test('whoever comes after a namespace that took all it could finds places', (t) => {
  const admission = new Admission(100)
  fill(admission, 'loud')
  t.is(fill(admission, 'calm').length, 16)
  t.true(fill(admission, 'late').length > 0)
  t.true(admission.size <= 100)
})

test('a place is given back once, and is there for the next', (t) => {
  const admission = new Admission(100)
  const places = fill(admission, 'loud')
  places[0]?.()
  places[0]?.()
  t.is(admission.size, 79)
  t.is(fill(admission, 'loud').length, 1)
  for (const leave of places) leave()
  t.is(admission.size, 1)
})

test('the refusal says whose it is', (t) => {
  const admission = new Admission(0)
  const error = t.throws<LatchkeyError>(() => admission.enter('shop'))
  t.is(error.reason, 'Overloaded')
  t.is(
    error.message,
    'too many volumes are being published at once on this node, 0 of them of namespace "shop"',
  )
})

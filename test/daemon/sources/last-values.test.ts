import test from 'ava'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import { LastValues } from '../../../src/daemon/sources/last-values.ts'
import type { Value } from '../../../src/daemon/sources/source.ts'
import { sharingKeyOf } from '../../../src/daemon/sources/sharing-key.ts'
import { ENTRY_BYTES, wipeValue } from '../../../src/daemon/sources/value-bytes.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { isZeroed, textsOf, valueOf } from './values.ts'
import { workloadOf } from './workloads.ts'

const HOUR_MS = 3_600_000
const RETRY_MS = 10 * 60_000
const keyOf = (secret: string, namespace = 'shop') =>
  sharingKeyOf(workloadOf({ namespace }), 'kubernetes', secret)
const DB = keyOf('db')
const OTHER = keyOf('other')
const OF_BANK = keyOf('db', 'bank')
/** What `{ password: 'one' }` takes. */
const ONE_BYTES = ENTRY_BYTES + 8 + 3

/** What was copied meanwhile, which nobody else can see. `act` is synchronous, so it is all of this test. */
function copiesMadeBy(act: () => void): readonly SecretBytes[] {
  const copies: SecretBytes[] = []
  const copyOf = SecretBytes.copyOf.bind(SecretBytes)
  SecretBytes.copyOf = (bytes) => {
    const copy = copyOf(bytes)
    copies.push(copy)
    return copy
  }
  try {
    act()
  } finally {
    SecretBytes.copyOf = copyOf
  }
  return copies
}

function worldOf(maxBytes = 100_000) {
  const clock = new FakeClock()
  const lastValues = new LastValues({ clock, maxBytes, random: () => 0.5 })
  return {
    clock,
    lastValues,
    /** Answers the very bytes that are kept now. */
    keep: (value: Value, key = DB) =>
      copiesMadeBy(() => {
        lastValues.keep(key, value, clock.now())
      }),
    found: (maxAgeMs = HOUR_MS, key = DB) => {
      const last = lastValues.find(key, maxAgeMs)
      return last && textsOf(last.value)
    },
    subscribe: (maxAgeMs = HOUR_MS, key = DB) => {
      const keeper = { dues: 0 }
      const leave = lastValues.subscribe(key, { maxAgeMs, onDue: () => (keeper.dues += 1) })
      return { keeper, leave }
    },
  }
}

test('nothing is kept that nobody asked to keep', (t) => {
  const { lastValues, keep, found } = worldOf()
  keep(valueOf({ password: 'one' }))
  t.is(found(), undefined)
  t.is(lastValues.bytes, 0)
})

test('who asks first has it fetched once more, for what was fetched before is gone', (t) => {
  const { subscribe, keep } = worldOf()
  const one = subscribe()
  t.is(one.keeper.dues, 1)
  keep(valueOf({ password: 'one' }))
  const two = subscribe()
  t.is(two.keeper.dues, 0)
})

test('what is found is a copy of what was kept, and that a copy of what was fetched', (t) => {
  const { lastValues, subscribe, keep, found } = worldOf()
  subscribe()
  const fetched = valueOf({ password: 'one' }, { version: '7' })
  keep(fetched)
  wipeValue(fetched)
  const last = lastValues.find(DB, HOUR_MS)
  t.is(last?.value.version, '7')
  t.deepEqual(last && textsOf(last.value), { password: 'one' })
  wipeValue(last?.value)
  t.deepEqual(found(), { password: 'one' })
})

test('the newest is kept, and the one before it wiped', (t) => {
  const { lastValues, subscribe, keep, found } = worldOf()
  subscribe()
  const first = keep(valueOf({ password: 'one' }, { version: '1' }))
  keep(valueOf({ password: 'two' }, { version: '2' }))
  t.deepEqual(found(), { password: 'two' })
  t.true(first.length > 0 && first.every(isZeroed))
  t.is(lastValues.bytes, ONE_BYTES)
})

test('the last to leave has it wiped', (t) => {
  const { lastValues, clock, subscribe, keep, found } = worldOf()
  const [one, two] = [subscribe(), subscribe()]
  const kept = keep(valueOf({ password: 'one' }))
  one.leave()
  one.leave()
  t.deepEqual(found(), { password: 'one' })
  t.false(kept.some(isZeroed))
  two.leave()
  t.is(found(), undefined)
  t.true(kept.length > 0 && kept.every(isZeroed))
  t.deepEqual([lastValues.bytes, lastValues.size, clock.pending], [0, 0, 0])
})

test('what is dropped is wiped, and kept again once it is fetched again', (t) => {
  const { lastValues, subscribe, keep, found } = worldOf()
  subscribe()
  const kept = keep(valueOf({ password: 'one' }))
  lastValues.drop(DB)
  t.is(found(), undefined)
  t.true(kept.length > 0 && kept.every(isZeroed))
  keep(valueOf({ password: 'one' }))
  t.deepEqual(found(), { password: 'one' })
})

test('a value is served up to its age and no longer, by a clock that is set back neither', async (t) => {
  const { clock, subscribe, keep, found } = worldOf()
  subscribe(2 * HOUR_MS)
  keep(valueOf({ password: 'one' }))
  await clock.advance(HOUR_MS)
  t.deepEqual(found(HOUR_MS), { password: 'one' })
  await clock.advance(1)
  t.is(found(HOUR_MS), undefined)
  t.deepEqual(found(2 * HOUR_MS), { password: 'one' })

  let nowMs = clock.now()
  const after = (): (() => void) => () => undefined
  const back = new LastValues({ clock: { now: () => nowMs, after }, maxBytes: 100_000 })
  back.subscribe(DB, { maxAgeMs: HOUR_MS, onDue: () => undefined })
  back.keep(DB, valueOf({ password: 'one' }), nowMs)
  nowMs -= HOUR_MS + 1
  t.is(back.find(DB, HOUR_MS), undefined)
})

test('the same version fetched again makes it young again', async (t) => {
  const { clock, lastValues, subscribe, keep, found } = worldOf()
  subscribe()
  keep(valueOf({ password: 'one' }))
  await clock.advance(HOUR_MS)
  const again = valueOf({ password: 'one' })
  keep(again)
  await clock.advance(HOUR_MS)
  t.deepEqual(found(), { password: 'one' })
  t.is(lastValues.bytes, ONE_BYTES)
})

test('a value that does not change is fetched again before half of its time, each time by another', async (t) => {
  const { clock, subscribe, keep } = worldOf()
  const [calm, strict] = [subscribe(8 * HOUR_MS), subscribe(2 * HOUR_MS)]
  keep(valueOf({ password: 'one' }))
  const before = calm.keeper.dues + strict.keeper.dues
  for (let hour = 1; hour <= 10; hour += 1) {
    await clock.advance(HOUR_MS)
    t.is(calm.keeper.dues + strict.keeper.dues, before + hour)
    keep(valueOf({ password: 'one' }))
  }
  t.true(Math.abs(calm.keeper.dues - strict.keeper.dues) <= 1)
})

test('what is older than anybody takes is wiped, though all stay', async (t) => {
  const { clock, lastValues, subscribe, keep } = worldOf()
  const { keeper } = subscribe(2 * HOUR_MS)
  const kept = keep(valueOf({ password: 'one' }))
  await clock.advance(2 * HOUR_MS)
  t.false(kept.some(isZeroed))
  await clock.advance(HOUR_MS)
  t.true(kept.length > 0 && kept.every(isZeroed))
  t.is(lastValues.bytes, 0)
  t.is(keeper.dues, 6, 'it was tried meanwhile')
  await clock.advance(RETRY_MS)
  t.is(keeper.dues, 7, 'and is tried again')
})

test('over the cap nothing is kept, not even what it would replace', (t) => {
  const { lastValues, subscribe, keep, found } = worldOf(4 * ONE_BYTES)
  subscribe()
  subscribe(HOUR_MS, OTHER)
  keep(valueOf({ password: 'one' }))
  keep(valueOf({ password: 'two' }), OTHER)
  t.is(found(HOUR_MS, OTHER), undefined)
  t.is(lastValues.bytes, ONE_BYTES)
  keep(valueOf({ password: 'four' }, { version: '2' }))
  t.is(found(), undefined)
  t.is(lastValues.bytes, 0)
  keep(valueOf({ password: 'two' }), OTHER)
  t.deepEqual(found(HOUR_MS, OTHER), { password: 'two' })
})

test('an entry without a byte takes room all the same', (t) => {
  const { lastValues, subscribe, keep, found } = worldOf(400_000)
  subscribe()
  const empties = (count: number) =>
    valueOf(Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, ''])))
  keep(empties(100))
  t.is(lastValues.bytes, 100 * ENTRY_BYTES + 10 * 2 + 90 * 3)
  lastValues.drop(DB)
  keep(empties(150))
  t.is(found(), undefined)
  t.is(lastValues.bytes, 0)
})

test('a namespace gets a quarter of all and leaves the others theirs', (t) => {
  const { lastValues, subscribe, keep, found } = worldOf(8 * ONE_BYTES)
  for (const name of ['a', 'b', 'c', 'd']) {
    subscribe(HOUR_MS, keyOf(name))
    keep(valueOf({ password: 'one' }), keyOf(name))
  }
  t.is(lastValues.bytes, 2 * ONE_BYTES)
  subscribe(HOUR_MS, OF_BANK)
  keep(valueOf({ password: 'two' }), OF_BANK)
  t.deepEqual(found(HOUR_MS, OF_BANK), { password: 'two' })
})

test('all namespaces together get no more than there is', (t) => {
  const { lastValues, subscribe, keep } = worldOf(5 * ONE_BYTES)
  for (const namespace of ['a', 'b', 'c', 'd', 'e', 'f']) {
    const key = keyOf('db', namespace)
    subscribe(HOUR_MS, key)
    keep(valueOf({ password: 'one' }), key)
  }
  t.is(lastValues.bytes, 5 * ONE_BYTES)
})

test('what found no room is asked for again calmly, and kept once there is some', async (t) => {
  const { clock, subscribe, keep, found } = worldOf(4 * ONE_BYTES)
  const first = subscribe()
  keep(valueOf({ password: 'one' }))
  const { keeper } = subscribe(4 * HOUR_MS, OTHER)
  keep(valueOf({ password: 'two' }), OTHER)
  t.is(keeper.dues, 1)
  await clock.advance(RETRY_MS)
  t.is(keeper.dues, 2)
  keep(valueOf({ password: 'two' }), OTHER)
  t.is(found(HOUR_MS, OTHER), undefined)
  first.leave()
  await clock.advance(RETRY_MS)
  t.is(keeper.dues, 3)
  keep(valueOf({ password: 'two' }), OTHER)
  t.deepEqual(found(HOUR_MS, OTHER), { password: 'two' })
  await clock.advance(HOUR_MS)
  t.is(keeper.dues, 3, 'what is kept is asked for at half of its time')
})

test('what was dropped is asked for again calmly', async (t) => {
  const { clock, lastValues, subscribe, keep } = worldOf()
  const { keeper } = subscribe()
  keep(valueOf({ password: 'one' }))
  lastValues.drop(DB)
  t.is(keeper.dues, 1)
  await clock.advance(RETRY_MS)
  t.is(keeper.dues, 2)
})

test('what is kept as one text counts as well', (t) => {
  const { lastValues, subscribe, keep } = worldOf()
  subscribe()
  const json = new SecretBytes(Buffer.from('{"a":"x"}'))
  const kept = keep(valueOf({ a: 'x' }, { json }))
  t.is(lastValues.bytes, 2 * ENTRY_BYTES + 11)
  lastValues.drop(DB)
  t.is(kept.length, 2)
  t.true(kept.every(isZeroed))
})

test('what was made for one volume alone is not kept for another', (t) => {
  const { lastValues, subscribe, keep, found } = worldOf()
  subscribe()
  const term = { lease: undefined, lifeMs: HOUR_MS, endsAtMs: HOUR_MS }
  t.deepEqual(keep(valueOf({ password: 'one' }, { term })), [])
  t.is(found(), undefined)
  t.is(lastValues.bytes, 0)
})

test('closing wipes all', (t) => {
  const { clock, lastValues, subscribe, keep } = worldOf()
  const { leave } = subscribe()
  const kept = keep(valueOf({ password: 'one' }))
  lastValues.close()
  t.true(kept.length > 0 && kept.every(isZeroed))
  leave()
  t.deepEqual([lastValues.bytes, lastValues.size, clock.pending], [0, 0, 0])
})

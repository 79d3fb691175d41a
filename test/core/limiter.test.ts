import { setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { Limiter } from '../../src/core/limiter.ts'

const never = new AbortController().signal

/** Work that runs until it is let go, noted as it begins. */
class Works {
  readonly begun: string[] = []
  readonly refused: string[] = []
  readonly #limiter: Limiter
  readonly #gates: PromiseWithResolvers<void>[] = []

  constructor(slots: number, maxWaiting: number, sparesSlots = false) {
    this.#limiter = new Limiter('publishes', slots, maxWaiting, { sparesSlots })
  }

  ask(tenant: string, name: string, signal = never): Promise<void> {
    const work = (): Promise<void> => {
      this.begun.push(name)
      const gate = Promise.withResolvers<void>()
      this.#gates.push(gate)
      return gate.promise
    }
    return this.#limiter.run(signal, work, tenant).catch((thrown: unknown) => {
      this.refused.push(`${name} ${LatchkeyError.from(thrown).reason}`)
    })
  }

  askAll(tenant: string, count: number): Promise<void>[] {
    return Array.from({ length: count }, (_, i) => this.ask(tenant, `${tenant}${i}`))
  }

  async finishOne(): Promise<void> {
    // Work begins a moment after its slot is free.
    await turn()
    this.#gates.shift()?.resolve()
    await turn()
  }

  async finish(count: number): Promise<void> {
    for (let i = 0; i < count; i += 1) await this.finishOne()
  }
}

test('namespaces take turns, however many wait in one of them', async (t) => {
  const works = new Works(1, 100)
  const jobs = [...works.askAll('loud', 50), ...works.askAll('calm', 2), ...works.askAll('late', 1)]
  await works.finish(6)
  t.deepEqual(works.begun, ['loud0', 'loud1', 'calm0', 'late0', 'loud2', 'calm1', 'loud3'])
  await works.finish(53)
  await Promise.all(jobs)
  t.is(works.begun.length, 53)
  t.deepEqual(works.refused, [])
})

test('where the line is full, the namespace with most in it loses its last', async (t) => {
  const works = new Works(1, 4)
  const jobs = works.askAll('loud', 6)
  await Promise.resolve()
  jobs.push(works.ask('calm', 'calm0'))
  await works.finishOne()
  t.deepEqual(works.refused, ['loud5 Overloaded', 'loud4 Overloaded'])
  await works.finish(5)
  await Promise.all(jobs)
  t.deepEqual(works.begun, ['loud0', 'loud1', 'calm0', 'loud2', 'loud3'])
})

test('nobody loses a place to who has as many', async (t) => {
  const works = new Works(1, 2)
  const jobs = [works.ask('a', 'a0'), works.ask('a', 'a1'), works.ask('b', 'b0')]
  jobs.push(works.ask('a', 'a2'), works.ask('b', 'b1'), works.ask('c', 'c0'))
  await works.finish(6)
  await Promise.all(jobs)
  t.deepEqual(works.begun, ['a0', 'a1', 'b0'])
  t.deepEqual(works.refused, ['a2 Overloaded', 'b1 Overloaded', 'c0 Overloaded'])
})

test('who gives up leaves room for another, and a turn to who waits behind', async (t) => {
  const works = new Works(1, 2)
  const impatient = new AbortController()
  const jobs = [works.ask('a', 'a0'), works.ask('a', 'a1', impatient.signal), works.ask('b', 'b0')]
  impatient.abort(new LatchkeyError('Timeout', 'enough'))
  jobs.push(works.ask('c', 'c0'))
  await works.finish(3)
  await Promise.all(jobs)
  t.deepEqual(works.begun, ['a0', 'b0', 'c0'])
  t.deepEqual(works.refused, ['a1 Timeout'])
})

test('who was put out of the line takes nobody else along by giving up as well', async (t) => {
  const works = new Works(1, 2)
  const impatient = new AbortController()
  const jobs = [works.ask('a', 'a0'), works.ask('a', 'a1'), works.ask('a', 'a2', impatient.signal)]
  jobs.push(works.ask('b', 'b0'))
  impatient.abort(new LatchkeyError('Timeout', 'enough'))
  await works.finish(3)
  await Promise.all(jobs)
  t.deepEqual(works.begun, ['a0', 'a1', 'b0'])
  t.deepEqual(works.refused, ['a2 Overloaded'])
})

test('where slots are spared, work of one namespace that hangs leaves some to others at once', async (t) => {
  const works = new Works(10, 100, true)
  const loud = works.askAll('loud', 50)
  await turn()
  t.is(works.begun.length, 8)
  const calm = works.ask('calm', 'calm')
  await turn()
  t.is(works.begun.at(-1), 'calm')
  await works.finish(51)
  await Promise.all([...loud, calm])
  t.is(works.begun.length, 51)
})

test('where slots are spared, one that becomes free may let in several, and never too many', async (t) => {
  const works = new Works(10, 100, true)
  const all = [...works.askAll('loud', 20), ...works.askAll('calm', 20)]
  const late = [...works.askAll('late', 20), ...works.askAll('last', 20)]
  await turn()
  let ended = 0
  for (; ended < 80; ended += 1) {
    const running = works.begun.length - ended
    t.true(running > 0 && running <= 10, `${running} at once`)
    await works.finishOne()
  }
  await Promise.all([...all, ...late])
  t.is(works.begun.length, 80)
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../src/core/clock.ts'
import { NodeClaim, type ClaimOptions } from '../../src/host/node-claim.ts'
import { FakeClock } from '../support/fake-clock.ts'

const NEVER = new AbortController().signal

function node(t: ExecutionContext, clock: ClaimOptions['clock'] = systemClock): ClaimOptions {
  const parent = mkdtempSync(join(tmpdir(), 'lk-claim-'))
  t.teardown(() => {
    rmSync(parent, { recursive: true })
  })
  return { folder: join(parent, 'plugins/driver'), clock, onWait: () => undefined }
}

test('whoever comes next asks for the node, and has it once it was given up', async (t) => {
  const options = node(t)
  const first = await NodeClaim.demand(options, NEVER)
  let waits = 0
  const onWait = (): void => {
    waits += 1
  }
  const coming = NodeClaim.demand({ ...options, onWait }, NEVER)
  await first.asked
  let isSecondIn = false
  void coming.then(() => {
    isSecondIn = true
  })
  t.false(isSecondIn)
  first.release()
  const second = await coming
  t.is(waits, 1)
  second.release()
})

test('a node that nobody serves is had at once', async (t) => {
  const options = node(t)
  const first = await NodeClaim.demand(options, NEVER)
  first.release()
  const again = await NodeClaim.demand(options, NEVER)
  again.release()
  again.release()
  t.pass()
})

test('an heir has the node when it falls free, and asks nobody for it', async (t) => {
  const clock = new FakeClock()
  const options = node(t, clock)
  const first = await NodeClaim.demand(options, NEVER)
  let isAsked = false
  void first.asked.then(() => {
    isAsked = true
  })
  const coming = NodeClaim.inherit(options, NEVER)
  await clock.advance(10_000)
  t.false(isAsked)
  first.release()
  await clock.advance(1_000)
  const heir = await coming
  heir.release()
})

test('who has given the node up does not take it back before the one who asked for it', async (t) => {
  const options = node(t)
  const first = await NodeClaim.demand(options, NEVER)
  const coming = NodeClaim.demand(options, NEVER)
  await first.asked
  first.release()
  const stop = new AbortController()
  const back = NodeClaim.inherit(options, stop.signal)
  const second = await coming
  stop.abort(new Error('stop'))
  await t.throwsAsync(back, { message: 'stop' })
  second.release()
})

test('who does not get the node within a minute says whose lock it is', async (t) => {
  const clock = new FakeClock()
  const options = node(t, clock)
  const first = await NodeClaim.demand(options, NEVER)
  const coming = NodeClaim.demand(options, NEVER)
  const refused = t.throwsAsync(coming, { message: /holds .*host\.lock and does not leave/ })
  for (let n = 0; n < 70; n += 1) await clock.advance(1_000)
  await refused
  first.release()
})

test('waiting ends with the signal, and leaves nothing locked', async (t) => {
  const options = node(t)
  const first = await NodeClaim.demand(options, NEVER)
  const stop = new AbortController()
  const coming = [NodeClaim.demand(options, stop.signal), NodeClaim.inherit(options, stop.signal)]
  stop.abort(new Error('stop'))
  for (const one of coming) await t.throwsAsync(one, { message: 'stop' })
  first.release()
  const next = await NodeClaim.demand(options, NEVER)
  next.release()
})

test('whoever is to stop takes no node, be it free', async (t) => {
  const options = node(t)
  const stopped = AbortSignal.abort(new Error('stop'))
  await t.throwsAsync(NodeClaim.demand(options, stopped), { message: 'stop' })
  await t.throwsAsync(NodeClaim.inherit(options, stopped), { message: 'stop' })
})

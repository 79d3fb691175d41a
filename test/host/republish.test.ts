import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { volumeRequest, tokenOf } from '../support/volume-requests.ts'
import { ROUND_MS, SweepWorld, UNATTENDED_MS } from './sweep/sweep-world.ts'

const UNREADABLE = new LatchkeyError('TokenMissing', 'kubelet sent no tokens')

function hundred(on: SweepWorld, token: (index: number) => string): Promise<unknown> {
  const { signal } = new AbortController()
  return Promise.all(
    Array.from({ length: 100 }, (_, index) =>
      on.volumes.publish(volumeRequest({ tokens: [tokenOf(token(index))] }), signal),
    ),
  )
}

test('a hundred republishes at once touch no file, open no stream and say nothing', async (t) => {
  const on = await SweepWorld.published(t)
  const heard = on.stream.heard.length
  await hundred(on, () => 'token-1')
  t.deepEqual(on.store.calls, ['create'])
  t.is(on.daemon.streams.length, 1)
  t.is(on.stream.heard.length, heard)
})

test('a hundred republishes at once with the same newer tokens bring them once', async (t) => {
  const on = await SweepWorld.published(t)
  await hundred(on, () => 'token-2')
  t.deepEqual(on.store.calls, ['create'])
  t.is(on.stream.heard.filter((message) => message.tokens != null).length, 1)
})

test('of a hundred republishes with tokens of their own the last ones stay', async (t) => {
  const on = await SweepWorld.published(t)
  await hundred(on, (index) => `token-${index}`)
  t.deepEqual(on.store.calls, ['create'])
  const last = on.stream.heard.filter((message) => message.tokens != null).at(-1)
  t.is(last?.tokens?.tokens?.[0]?.token?.toString(), 'token-99')
})

test('a hundred republishes while the daemon is away are answered, and touch no file', async (t) => {
  const on = await SweepWorld.published(t)
  on.daemon.isAway = true
  on.stream.refuse('DaemonUnavailable', 'gone')
  await hundred(on, (index) => `token-${index}`)
  t.deepEqual(on.store.calls, ['create'])
  t.true(on.isMounted)
})

test('a visit that cannot be read is one to a volume in place, and said once', async (t) => {
  const on = await SweepWorld.published(t)
  for (let visit = 0; visit < 5; visit += 1) {
    t.true(on.volumes.revisit(volumeRequest(), UNREADABLE))
  }
  const said = () => on.lines.filter((line) => line.includes('republish not understood')).length
  t.is(said(), 1)
  await on.republish()
  t.true(on.volumes.revisit(volumeRequest(), UNREADABLE))
  t.is(said(), 2)
  t.deepEqual(on.store.calls, ['create'])
})

test('a visit that cannot be read leaves the tokens that are there in use', async (t) => {
  const on = await SweepWorld.published(t)
  t.true(on.volumes.revisit(volumeRequest(), UNREADABLE))
  on.stream.refuse('DaemonUnavailable', 'gone')
  await on.clock.advance(1_000)
  const again = await on.daemon.stream(1)
  t.is(again.heard[0]?.open?.tokens?.[0]?.token?.toString(), 'token-1')
})

test('a visit that cannot be read shows that kubelet still runs the pod', async (t) => {
  const on = await SweepWorld.published(t)
  await on.clock.advance(UNATTENDED_MS)
  on.volumes.revisit(volumeRequest(), UNREADABLE)
  await on.clock.advance(ROUND_MS)
  t.is(on.questions, 0)
})

test('there is no visit to a volume that is not in place, or lies elsewhere', async (t) => {
  const on = new SweepWorld(t)
  t.false(on.volumes.revisit(volumeRequest(), UNREADABLE))
  const publishing = on.volumes.publish(volumeRequest(), new AbortController().signal)
  const stream = await on.daemon.stream(0)
  t.false(on.volumes.revisit(volumeRequest(), UNREADABLE))
  stream.contents(1, { password: 'one' })
  await publishing
  t.true(on.volumes.revisit(volumeRequest(), UNREADABLE))
  const elsewhere = volumeRequest().targetPath.replace('/db/', '/other/')
  t.false(on.volumes.revisit({ ...volumeRequest(), targetPath: elsewhere }, UNREADABLE))
})

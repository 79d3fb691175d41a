import test, { type ExecutionContext } from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { refreshVolumes } from '../../../src/daemon/mount/refresh-volumes.ts'
import type { RefreshOutcome } from '../../../src/wire/gen/latchkey/mount/v1/RefreshOutcome.ts'
import type { RefreshRequest__Output } from '../../../src/wire/gen/latchkey/mount/v1/RefreshRequest.ts'
import { until } from '../../support/until.ts'
import { volumeRequest } from '../../support/volume-requests.ts'
import { opened, World } from './mount-world.ts'

const { volumeId, pod } = volumeRequest()
const never = new AbortController().signal

function refresh(on: World, request: RefreshRequest__Output): Promise<readonly RefreshOutcome[]> {
  const sessions = on.sessions.list().map(({ session }) => session)
  return refreshVolumes(request, sessions, on.clock, never)
}

async function changed(t: ExecutionContext) {
  const on = new World()
  const { shim } = await opened(t, on)
  // Behind the back of every watch.
  on.secret = { password: 'two' }
  void on.clock.advance(1_000)
  return { on, shim }
}

const CHOICES: readonly (readonly [string, RefreshRequest__Output])[] = [
  ['volume id', { volumeId }],
  ['pod', { pod: { namespace: pod.namespace, name: pod.name } }],
  ['source', { source: 'kubernetes' }],
]

for (const [what, choice] of CHOICES) {
  test(`a volume chosen by its ${what} is looked at now, and answered once the pod sees it`, async (t) => {
    const { on, shim } = await changed(t)
    const refreshing = refresh(on, choice)
    let isAnswered = false
    void refreshing.then(() => {
      isAnswered = true
    })
    t.is((await shim.generation(2)).text, 'password=two')
    t.false(isAnswered)
    shim.commit(2)
    t.deepEqual(await refreshing, [{ volumeId, pod, changed: true }])
  })
}

test('equal contents are answered as unchanged, and sent to nobody', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  void on.clock.advance(1_000)
  t.like(await refresh(on, { volumeId }), [{ changed: false }])
  t.is(shim.heard.length, 1)
})

test('a look that fails is answered with why, and the files stay', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  on.secret = 'AccessDenied'
  void on.clock.advance(1_000)
  t.like(await refresh(on, { volumeId }), [{ reason: 'AccessDenied', message: 'as told' }])
  t.is(shim.heard.length, 1)
  t.is(on.sessions.list()[0]?.session.status.staleness?.error.reason, 'AccessDenied')
})

test('whoever asks during a look is answered by the next one', async (t) => {
  const { on, shim } = await changed(t)
  const first = refresh(on, { volumeId })
  await shim.generation(2)
  on.secret = { password: 'three' }
  const second = refresh(on, { volumeId })
  shim.commit(2)
  await first
  void on.clock.advance(1_000)
  t.is((await shim.generation(3)).text, 'password=three')
  shim.commit(3)
  t.like(await second, [{ changed: true }])
})

test('a stream that breaks answers whoever waits', async (t) => {
  const { on, shim } = await changed(t)
  const refreshing = refresh(on, { volumeId })
  await shim.generation(2)
  shim.hangUp()
  t.like(await refreshing, [{ reason: 'UnknownSession' }])
})

test('a volume without a stream is answered at once', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  shim.hangUp()
  await until(() => on.sessions.count().detached === 1, { what: 'the session to be detached' })
  t.like(await refresh(on, { volumeId }), [{ reason: 'UnknownSession' }])
})

test('a look that does not end is answered with Timeout', async (t) => {
  const { on, shim } = await changed(t)
  const refreshing = refresh(on, { volumeId })
  await shim.generation(2)
  await on.clock.advance(30_000)
  t.like(await refreshing, [{ reason: 'Timeout' }])
})

const NO_CHOICES: readonly (readonly [string, RefreshRequest__Output])[] = [
  ['nothing', {}],
  ['an empty volume id', { volumeId: '' }],
  ['a pod without a namespace', { pod: { namespace: '', name: 'api-0' } }],
  ['a pod without a name', { pod: { namespace: 'shop', name: '' } }],
]

for (const [what, choice] of NO_CHOICES) {
  test(`choosing ${what} is refused`, async (t) => {
    const on = new World()
    const error = await t.throwsAsync(refresh(on, choice), { instanceOf: LatchkeyError })
    t.is(error.reason, 'InvalidRequest')
  })
}

test('a choice that fits no volume says so', async (t) => {
  const on = new World()
  await opened(t, on)
  const error = await t.throwsAsync(refresh(on, { source: 'vault' }), { instanceOf: LatchkeyError })
  t.is(error.reason, 'VolumeNotFound')
})

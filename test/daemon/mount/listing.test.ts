import test from 'ava'
import { listVolumes, summarize } from '../../../src/daemon/mount/listing.ts'
import type { HeldVolume__Output } from '../../../src/wire/gen/latchkey/mount/v1/HeldVolume.ts'
import { until } from '../../support/until.ts'
import { volumeRequest } from '../../support/volume-requests.ts'
import { opened, World } from './mount-world.ts'

const { volumeId, targetPath, pod } = volumeRequest()

function held(changes: Partial<HeldVolume__Output> = {}): HeldVolume__Output {
  return { volumeId, targetPath, state: 'HELD_MOUNTED', note: '', ...changes }
}

test('a served volume is listed with what its pod sees', async (t) => {
  const on = new World()
  await opened(t, on)
  const now = on.clock.now()
  t.deepEqual(listVolumes(on.sessions.list(), [held()]), [
    {
      volumeId,
      targetPath,
      pod,
      state: 'VOLUME_FRESH',
      generation: 1,
      changedAtMs: now,
      checkedAtMs: now,
      nextLookAtMs: 0,
      reason: '',
      message: '',
    },
  ])
})

test('a volume whose look failed is stale, with the reason', async (t) => {
  const on = new World()
  await opened(t, on)
  on.change('AccessDenied')
  await until(() => on.sessions.list()[0]?.session.status.staleness !== undefined, {
    what: 'the look to fail',
  })
  t.like(listVolumes(on.sessions.list(), [held()]), [
    { state: 'VOLUME_STALE', reason: 'AccessDenied', message: 'as told' },
  ])
})

test('a volume whose stream broke waits', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  shim.hangUp()
  await until(() => on.sessions.count().detached === 1, { what: 'the session to be detached' })
  t.like(listVolumes(on.sessions.list(), []), [{ state: 'VOLUME_WAITING', generation: 1 }])
})

test('what only the host side knows of is listed by the uid of its pod', (t) => {
  const states = (['HELD_PENDING', 'HELD_MOUNTED', 'HELD_ENDING', 'HELD_STRANDED'] as const).map(
    (state) => listVolumes([], [held({ state, note: 'so it is' })])[0],
  )
  t.deepEqual(
    states.map((listed) => listed?.state),
    ['VOLUME_PENDING', 'VOLUME_WAITING', 'VOLUME_ENDING', 'VOLUME_STRANDED'],
  )
  t.like(states[3], {
    pod: { namespace: '', name: '', uid: pod.uid, serviceAccount: '' },
    message: 'so it is',
    generation: 0,
  })
})

test('a pod that seems to have ended shows as ending, whatever its contents are', async (t) => {
  const on = new World()
  await opened(t, on)
  const ending = held({ state: 'HELD_ENDING', note: 'one process is left' })
  t.like(listVolumes(on.sessions.list(), [ending]), [
    { state: 'VOLUME_ENDING', message: 'one process is left', generation: 1 },
  ])
})

test('volumes are ordered by namespace, pod and target', async (t) => {
  const on = new World()
  await opened(t, on)
  const others = ['b', 'a'].map((name) =>
    held({ volumeId: name, targetPath: `/var/lib/kubelet/pods/${name}/volumes/x/y/mount` }),
  )
  const listed = listVolumes(on.sessions.list(), others)
  t.deepEqual(
    listed.map((one) => one.pod?.uid),
    ['a', 'b', pod.uid],
  )
})

test('a summary counts every state, and how long the stalest volume has been', async (t) => {
  const on = new World()
  await opened(t, on)
  on.change('AccessDenied')
  await until(() => on.sessions.list()[0]?.session.status.staleness !== undefined, {
    what: 'the look to fail',
  })
  const waiting = held({ volumeId: 'other' })
  await on.clock.advance(90_000)
  const { volumes, stalestMs } = summarize(on.sessions.list(), [waiting], on.clock.now())
  t.deepEqual(
    volumes,
    new Map([
      ['waiting', 1],
      ['stale', 1],
    ]),
  )
  t.true(stalestMs >= 90_000 && stalestMs < 100_000, `${stalestMs}`)
  t.deepEqual(summarize([], [], 0), { volumes: new Map(), stalestMs: 0 })
})

import test from 'ava'
import { countHeld, describeHeld } from '../../src/host/held-volumes.ts'
import type { VolumeKeeper } from '../../src/host/volume-keeper.ts'
import { volumeRequest } from '../support/volume-requests.ts'
import { ALIVE, GRACE_MS, ROUND_MS, SweepWorld, UNPROVEN } from './sweep/sweep-world.ts'

function held(on: SweepWorld) {
  return describeHeld(on.volumes.keepers(), on.sweeper.findings, on.volumes.unreadableStrays())
}

function counts(on: SweepWorld) {
  return countHeld(on.volumes.keepers(), on.sweeper.findings, on.volumes.unreadableStrays())
}

test('a mounted volume is reported without a word', async (t) => {
  const on = await SweepWorld.published(t)
  const { volumeId, targetPath } = volumeRequest()
  t.deepEqual(held(on), [{ volumeId, targetPath, state: 'HELD_MOUNTED', note: '' }])
  t.like(counts(on), { mounted: 1, pending: 0, ending: 0, stranded: 0, connected: 1 })
})

test('a volume that waits for its first contents says what for', async (t) => {
  const on = new SweepWorld(t)
  on.daemon.isAway = true
  const hangUp = new AbortController()
  const publishing = on.volumes.publish(volumeRequest(), hangUp.signal)
  await on.clock.advance(1_000)
  t.like(held(on)[0], { state: 'HELD_PENDING', note: 'nobody listens' })
  t.like(counts(on), { mounted: 0, pending: 1 })
  hangUp.abort(new Error('kubelet hung up'))
  await t.throwsAsync(publishing)
  t.deepEqual(held(on), [])
})

test('a volume whose pod is ending counts as that alone', async (t) => {
  const on = await SweepWorld.published(t)
  on.life = ALIVE
  on.isRecordGone = true
  await on.clock.advance(ROUND_MS)
  const note = "kubelet's record of the volume is gone; 2 processes live in the pod still"
  t.like(held(on)[0], { state: 'HELD_ENDING', note })
  t.like(counts(on), { mounted: 0, pending: 0, ending: 1, stranded: 0 })
})

test('a stranded volume says what is missing', async (t) => {
  const on = await SweepWorld.published(t)
  on.life = UNPROVEN
  await on.askedAndToldThat('POD_GONE')
  await on.clock.advance(GRACE_MS + ROUND_MS)
  const note =
    'the API server says that the pod is gone, but nothing proves that no process of it is left: ' +
    'this host cannot see its own cgroup'
  t.like(held(on)[0], { state: 'HELD_STRANDED', note })
  t.like(counts(on), { mounted: 0, pending: 0, ending: 0, stranded: 1 })
})

test('no more volumes are reported than the daemon takes', async (t) => {
  const on = await SweepWorld.published(t)
  const [keeper] = on.volumes.keepers()
  const many = Array.from({ length: 5_000 }, () => keeper as VolumeKeeper)
  t.is(describeHeld(many, new Map(), []).length, 4_096)
  const { volumeId, targetPath } = volumeRequest()
  const strays = Array.from({ length: 5_000 }, () => ({
    volume: { volumeId, targetPath },
    why: 'half taken away',
  }))
  t.is(describeHeld(many.slice(0, 10), new Map(), strays).length, 4_096)
})

import test from 'ava'
import { LatchkeyError, type Reason } from '../../../src/core/errors.ts'
import {
  createStaleEvents,
  type StaleEvents,
  type ToldVolume,
} from '../../../src/daemon/events/stale-events.ts'
import type { PodEvent } from '../../../src/daemon/kube/pod-event.ts'
import type { EventOutcome } from '../../../src/observability/daemon-metrics.ts'
import { createLogger } from '../../../src/observability/log.ts'
import { FakeClock } from '../../support/fake-clock.ts'

const SECOND_MS = 1_000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const STALE_AFTER_MS = 2 * MINUTE_MS

class World {
  readonly clock = new FakeClock()
  readonly events: PodEvent[] = []
  readonly outcomes: EventOutcome[] = []
  readonly lines: string[] = []
  failure: LatchkeyError | undefined
  /** While it is set, creating an event takes until it resolves. */
  slowness: Promise<void> | undefined
  readonly stale: StaleEvents

  constructor() {
    this.stale = createStaleEvents({
      clock: this.clock,
      staleAfterMs: STALE_AFTER_MS,
      node: 'node-1',
      random: () => 0.5,
      count: (outcome) => this.outcomes.push(outcome),
      log: createLogger({
        level: 'info',
        side: 'daemon',
        write: (line) => this.lines.push(line),
      }),
      create: async (event, signal) => {
        await this.slowness
        signal.throwIfAborted()
        if (this.failure !== undefined) throw this.failure
        this.events.push(event)
      },
    })
  }

  /** A failed look at a volume that is stale since now. */
  fail(reason: Reason = 'SecretNotFound', volume = volumeOf('api-0')): void {
    this.stale.stale(volume, new LatchkeyError(reason, `because of ${reason}`), this.clock.now())
  }

  get told(): readonly string[] {
    return this.events.map(({ type, reason, count }) => `${type} ${reason} ${count}`)
  }
}

function volumeOf(pod: string): ToldVolume {
  return {
    volumeId: `csi-${pod}`,
    targetPath: '/var/lib/kubelet/pods/uid/volumes/kubernetes.io~csi/db/mount',
    pod: { namespace: 'shop', name: pod, uid: `uid-of-${pod}`, serviceAccount: 'api' },
  }
}

test('a pod is told once its files have been stale for as long as the configuration says', async (t) => {
  const { clock, stale, events, ...world } = new World()
  const sinceMs = clock.now()
  const error = new LatchkeyError('SecretNotFound', 'Secret "db" does not exist')
  stale.stale(volumeOf('api-0'), error, sinceMs)
  await clock.advance(STALE_AFTER_MS - 1)
  t.deepEqual(events, [])
  await clock.advance(1)
  t.deepEqual(events, [
    {
      pod: volumeOf('api-0').pod,
      node: 'node-1',
      type: 'Warning',
      reason: 'SecretNotFound',
      message:
        'volume "db" has been stale for 2m, its last good files stay: Secret "db" does not exist',
      count: 1,
      firstAtMs: sinceMs + STALE_AFTER_MS,
      lastAtMs: sinceMs + STALE_AFTER_MS,
    },
  ])
  t.deepEqual(world.outcomes, ['created'])
})

test('staleness that began before it was told of counts from its beginning', async (t) => {
  const world = new World()
  const error = new LatchkeyError('KubeUnavailable', 'away')
  world.stale.stale(volumeOf('api-0'), error, world.clock.now() - HOUR_MS)
  await world.clock.advance(0)
  t.deepEqual(world.told, ['Warning KubeUnavailable 1'])
})

test('files that are fresh again in time leave no event and no timer', async (t) => {
  const world = new World()
  world.fail()
  await world.clock.advance(STALE_AFTER_MS - 1)
  world.stale.fresh(volumeOf('api-0'))
  await world.clock.advance(2 * HOUR_MS)
  t.deepEqual(world.events, [])
  t.is(world.clock.pending, 0)
})

test('looks that go on failing for the same reason are told again once an hour, with their count', async (t) => {
  const world = new World()
  const firstAtMs = world.clock.now() + STALE_AFTER_MS
  for (let minute = 0; minute < 150; minute += 1) {
    world.fail()
    await world.clock.advance(MINUTE_MS)
  }
  t.deepEqual(world.told, [
    'Warning SecretNotFound 1',
    'Warning SecretNotFound 2',
    'Warning SecretNotFound 3',
  ])
  t.deepEqual(
    world.events.map((event) => [event.firstAtMs, event.lastAtMs - firstAtMs]),
    [
      [firstAtMs, 0],
      [firstAtMs, HOUR_MS],
      [firstAtMs, 2 * HOUR_MS],
    ],
  )
})

test('another reason is told at once, and each only once', async (t) => {
  const world = new World()
  world.fail('SecretNotFound')
  await world.clock.advance(STALE_AFTER_MS)
  for (const reason of ['KubeUnavailable', 'SecretNotFound', 'KubeUnavailable'] as const) {
    world.fail(reason)
    await world.clock.advance(MINUTE_MS)
  }
  t.deepEqual(world.told, ['Warning SecretNotFound 1', 'Warning KubeUnavailable 1'])
})

test('a pod that was told of stale files is told when they are fresh again, and the next time anew', async (t) => {
  const world = new World()
  world.fail()
  await world.clock.advance(3 * MINUTE_MS)
  world.stale.fresh(volumeOf('api-0'))
  world.stale.fresh(volumeOf('api-0'))
  await world.clock.advance(MINUTE_MS)
  t.deepEqual(world.told, ['Warning SecretNotFound 1', 'Normal VolumeFresh 1'])
  t.is(world.events[1]?.message, 'volume "db" is fresh again; it had been stale for 3m')
  t.is(world.clock.pending, 0)
  world.fail()
  await world.clock.advance(STALE_AFTER_MS)
  t.is(world.told.at(-1), 'Warning SecretNotFound 1')
})

test('a volume that is gone is not told of any more', async (t) => {
  const world = new World()
  world.fail()
  world.stale.forget('csi-api-0')
  world.stale.forget('csi-never-there')
  await world.clock.advance(HOUR_MS)
  t.deepEqual(world.events, [])
  t.is(world.clock.pending, 0)
})

test('a node tells ten pods at once and then one a second; what is dropped comes later', async (t) => {
  const world = new World()
  for (let pod = 0; pod < 30; pod += 1) world.fail('KubeUnavailable', volumeOf(`api-${pod}`))
  await world.clock.advance(STALE_AFTER_MS)
  t.is(world.events.length, 10)
  t.is(world.outcomes.filter((outcome) => outcome === 'dropped').length, 20)
  await world.clock.advance(30 * MINUTE_MS)
  t.deepEqual(
    world.events.map(({ pod }) => pod.name).sort(),
    Array.from({ length: 30 }, (_, pod) => `api-${pod}`).sort(),
  )
})

test('an event that cannot be created is counted each time, logged once and tried again', async (t) => {
  const world = new World()
  world.failure = new LatchkeyError('AccessDenied', 'the daemon may not create events')
  world.fail()
  await world.clock.advance(STALE_AFTER_MS + 10 * MINUTE_MS)
  t.deepEqual(world.outcomes, ['failed', 'failed', 'failed'])
  t.is(world.lines.length, 1)
  t.true(world.lines[0]?.includes('the daemon may not create events'))
  world.failure = undefined
  await world.clock.advance(5 * MINUTE_MS)
  t.deepEqual(world.told, ['Warning SecretNotFound 1'])
  t.is(world.outcomes.at(-1), 'created')
})

test('good news that cannot be told are given up on after three tries', async (t) => {
  const world = new World()
  world.fail()
  await world.clock.advance(STALE_AFTER_MS)
  world.failure = new LatchkeyError('KubeUnavailable', 'away')
  world.stale.fresh(volumeOf('api-0'))
  await world.clock.advance(HOUR_MS)
  t.deepEqual(world.outcomes, ['created', 'failed', 'failed', 'failed'])
  t.is(world.clock.pending, 0)
})

test('files that get fresh while the pod is being told so are told after it', async (t) => {
  const world = new World()
  const { promise, resolve } = Promise.withResolvers<undefined>()
  world.slowness = promise
  world.fail()
  await world.clock.advance(STALE_AFTER_MS)
  world.stale.fresh(volumeOf('api-0'))
  await world.clock.advance(MINUTE_MS)
  t.deepEqual(world.events, [])
  resolve(undefined)
  await world.clock.advance(0)
  t.deepEqual(world.told, ['Warning SecretNotFound 1', 'Normal VolumeFresh 1'])
})

test('stop ends what is under way, and nothing is told after it', async (t) => {
  const world = new World()
  world.fail()
  await world.clock.advance(STALE_AFTER_MS)
  world.fail('SecretNotFound', volumeOf('api-1'))
  world.stale.stop()
  world.fail('SecretNotFound', volumeOf('api-2'))
  t.is(world.clock.pending, 0)
  await world.clock.advance(HOUR_MS)
  t.is(world.events.length, 1)
})

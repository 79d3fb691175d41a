import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { countHeld, describeHeld } from '../../../src/host/held-volumes.ts'
import { MemoryStore } from '../../support/memory-store.ts'
import { until } from '../../support/until.ts'
import { volumeRequest } from '../../support/volume-requests.ts'
import {
  ALIVE,
  EMPTY,
  GRACE_MS,
  ROUND_MS,
  START_MS,
  SweepWorld,
  UNATTENDED_MS,
  UNPROVEN,
} from './sweep-world.ts'

const HOUR_MS = 60 * 60_000
const ASK_MS = 30_000
/** What a volume may outlive the last process of its pod by. */
const LIMIT_MS = GRACE_MS + 60_000

for (const witness of ['kubelet_record', 'api_server'] as const) {
  async function nominated(on: SweepWorld): Promise<void> {
    if (witness === 'api_server') await on.askedAndToldThat('POD_GONE')
    else on.isRecordGone = true
  }

  test(`${witness}: without a process the files go, after the grace time and not before`, async (t) => {
    const on = await SweepWorld.published(t)
    const { stream } = on
    await nominated(on)
    await on.clock.advance(GRACE_MS)
    t.true(on.isMounted)
    t.is(on.finding?.state, 'ending')
    await on.clock.advance(2 * ROUND_MS)
    t.false(on.isMounted)
    t.is(on.finding, undefined)
    t.deepEqual(on.volumes.count(), { mounted: 0, pending: 0, connected: 0 })
    await stream.hears('unmounted')
    t.is(await on.swept(witness), 1)
    const line = on.lines.find((one) => one.includes('swept away')) ?? ''
    t.regex(line, new RegExp(volumeRequest().volumeId))
    t.regex(line, new RegExp(witness))
  })

  test(`${witness}: while a process lives the files stay, and go soon after the last one`, async (t) => {
    const on = await SweepWorld.published(t)
    on.life = ALIVE
    await nominated(on)
    await on.clock.advance(HOUR_MS)
    t.true(on.isMounted)
    t.is(on.finding?.state, 'ending')
    t.regex(on.finding?.note ?? '', /2 processes live in the pod still/)
    on.life = EMPTY
    await on.clock.advance(LIMIT_MS)
    t.false(on.isMounted)
  })

  test(`${witness}: without proof the files stay, stranded, until there is some`, async (t) => {
    const on = await SweepWorld.published(t)
    on.life = UNPROVEN
    await nominated(on)
    await on.clock.advance(HOUR_MS)
    t.true(on.isMounted)
    t.is(on.finding?.state, 'stranded')
    t.regex(on.finding?.note ?? '', /nothing proves .*: this host cannot see its own cgroup$/)
    t.is(on.lines.filter((line) => line.includes('volume stranded')).length, 1)
    on.life = EMPTY
    await on.clock.advance(ROUND_MS)
    t.false(on.isMounted)
  })

  test(`${witness}: a republish takes the nomination away, and the count begins anew`, async (t) => {
    const on = await SweepWorld.published(t)
    await nominated(on)
    for (let visit = 0; visit < 10; visit += 1) {
      await on.clock.advance(GRACE_MS - ROUND_MS)
      await on.republish()
    }
    t.true(on.isMounted)
    if (witness === 'kubelet_record') await on.clock.advance(LIMIT_MS)
    else await on.clock.advance(UNATTENDED_MS - ROUND_MS)
    t.is(on.isMounted, witness === 'api_server')
  })

  test(`${witness}: a process that comes up after the last look keeps the files`, async (t) => {
    const on = await SweepWorld.published(t)
    let roundMs = 0
    let lastLooks = 0
    // The second look of a round is the one in the volume's own turn, right before the files would go.
    on.lifeOf = () => {
      const isSecond = roundMs === on.clock.now()
      roundMs = on.clock.now()
      if (!isSecond) return EMPTY
      lastLooks += 1
      return ALIVE
    }
    await nominated(on)
    await on.clock.advance(LIMIT_MS + START_MS)
    t.true(lastLooks > 0)
    t.true(on.isMounted)
    t.is(await on.swept(witness), 0)
  })
}

test('a volume that nobody speaks against is left alone', async (t) => {
  const on = await SweepWorld.published(t)
  for (let minute = 0; minute < 60; minute += 1) {
    await on.clock.advance(60_000)
    await on.republish()
  }
  t.true(on.isMounted)
  t.is(on.finding, undefined)
  t.is(on.questions, 0)
})

test('the daemon is asked when kubelet stays away, and again every 30 s', async (t) => {
  const on = await SweepWorld.published(t)
  await on.clock.advance(UNATTENDED_MS)
  t.is(on.questions, 0)
  await on.clock.advance(ROUND_MS)
  t.is(on.questions, 1)
  await on.clock.advance(5 * 60_000)
  t.is(on.questions, 11)
  t.true(on.isMounted)
  t.is(on.finding?.state, 'mounted')
  t.regex(on.finding?.note ?? '', /kubelet has not come by for 7 min/)
})

for (const pod of ['POD_ALIVE', 'POD_UNKNOWN'] as const) {
  test(`a verdict of ${pod} nominates nobody`, async (t) => {
    const on = await SweepWorld.published(t)
    await on.askedAndToldThat(pod)
    await on.clock.advance(HOUR_MS)
    t.true(on.isMounted)
    t.is(on.finding?.state, 'mounted')
  })
}

for (const [count, answers] of [
  [1, 'one POD_GONE'],
  [2, 'two POD_GONE'],
] as const) {
  test(`${answers} and nothing but POD_UNKNOWN afterwards takes no files away`, async (t) => {
    const on = await SweepWorld.published(t)
    await on.askedAndToldThat('POD_GONE')
    await on.clock.advance((count - 1) * ASK_MS)
    on.daemon.verdict = 'POD_UNKNOWN'
    await on.clock.advance(2 * ROUND_MS)
    t.is(on.finding?.state, 'ending')
    await on.clock.advance(HOUR_MS)
    t.true(on.isMounted)
    t.is(on.finding?.state, 'mounted')
    // What was said an hour ago is not counted in with what is said now.
    on.daemon.verdict = 'POD_GONE'
    await on.clock.advance(ASK_MS)
    on.daemon.verdict = 'POD_UNKNOWN'
    await on.clock.advance(HOUR_MS)
    t.true(on.isMounted)
  })
}

test('one POD_GONE takes no files away when the daemon goes as well', async (t) => {
  const on = await SweepWorld.published(t)
  await on.askedAndToldThat('POD_GONE')
  on.daemon.isAway = true
  on.stream.refuse('DaemonUnavailable', 'killed')
  await on.clock.advance(HOUR_MS)
  t.true(on.isMounted)
  t.is(on.finding?.state, 'mounted')
})

test('a POD_UNKNOWN in between does not undo what was said before and after it', async (t) => {
  const on = await SweepWorld.published(t)
  await on.askedAndToldThat('POD_GONE')
  on.daemon.verdict = 'POD_UNKNOWN'
  await on.clock.advance(ASK_MS)
  on.daemon.verdict = 'POD_GONE'
  await on.clock.advance(ASK_MS + 2 * ROUND_MS)
  t.true(on.isMounted)
  await on.clock.advance(2 * ROUND_MS)
  t.false(on.isMounted)
})

test('a POD_GONE that was said three times stands when the token has expired', async (t) => {
  const on = await SweepWorld.published(t)
  on.life = ALIVE
  await on.askedAndToldThat('POD_GONE')
  await on.clock.advance(2 * ASK_MS)
  on.daemon.verdict = 'POD_UNKNOWN'
  await on.clock.advance(HOUR_MS)
  t.is(on.finding?.state, 'ending')
  on.life = EMPTY
  await on.clock.advance(LIMIT_MS)
  t.false(on.isMounted)
})

test('answers to one question count as one', async (t) => {
  const on = await SweepWorld.published(t)
  await on.askedAndToldThat('POD_GONE')
  for (let more = 0; more < 5; more += 1) on.say('POD_GONE')
  on.daemon.verdict = 'POD_UNKNOWN'
  await on.clock.advance(HOUR_MS)
  t.true(on.isMounted)
})

test('a pod that never had a process may be starting: its files stay five minutes after kubelet', async (t) => {
  const on = await SweepWorld.published(t)
  on.firstLife = EMPTY
  await on.askedAndToldThat('POD_GONE')
  // kubelet was known to be here with the first round, and waits for a runtime that may take 4 minutes.
  await on.clock.advance(START_MS - UNATTENDED_MS - ROUND_MS)
  t.true(on.isMounted)
  t.is(on.finding?.state, 'ending')
  await on.clock.advance(2 * ROUND_MS)
  t.false(on.isMounted)
})

test('a start that takes long keeps its files once there is a process, whatever is said', async (t) => {
  const on = await SweepWorld.published(t)
  on.firstLife = EMPTY
  await on.askedAndToldThat('POD_GONE')
  await on.clock.advance(START_MS - UNATTENDED_MS - 2 * ROUND_MS)
  on.life = ALIVE
  await on.clock.advance(HOUR_MS)
  t.true(on.isMounted)
  on.life = EMPTY
  await on.clock.advance(LIMIT_MS)
  t.false(on.isMounted)
})

test('a process that was seen before kubelet last came by was seen', async (t) => {
  const on = await SweepWorld.published(t)
  await on.clock.advance(2 * ROUND_MS)
  await on.republish()
  await on.askedAndToldThat('POD_GONE')
  await on.clock.advance(LIMIT_MS)
  t.false(on.isMounted)
})

test('a pod that lives is not looked at again until somebody says that it has ended', async (t) => {
  const on = await SweepWorld.published(t)
  let looks = 0
  on.lifeOf = () => {
    looks += 1
    return looks < 3 ? EMPTY : ALIVE
  }
  await on.clock.advance(10 * ROUND_MS)
  t.is(looks, 3)
})

test('a record that is lost does not wait for a pod that never had a process', async (t) => {
  const on = await SweepWorld.published(t)
  on.firstLife = EMPTY
  await on.askedAndToldThat('POD_GONE')
  on.isRecordGone = true
  await on.clock.advance(GRACE_MS + 2 * ROUND_MS)
  t.false(on.isMounted)
  t.is(await on.swept('kubelet_record'), 1)
})

test('a verdict that flaps never takes files away', async (t) => {
  const on = await SweepWorld.published(t)
  await on.askedAndToldThat('POD_GONE')
  for (let round = 0; round < 20; round += 1) {
    await on.clock.advance(GRACE_MS - ROUND_MS)
    on.say('POD_ALIVE')
    await on.clock.advance(ROUND_MS)
    on.say('POD_GONE')
  }
  t.true(on.isMounted)
})

test('an answer to a question from before the last republish is none', async (t) => {
  const on = await SweepWorld.published(t)
  await on.clock.advance(UNATTENDED_MS + ROUND_MS)
  t.is(on.questions, 1)
  await on.republish()
  on.say('POD_GONE')
  await on.clock.advance(UNATTENDED_MS - ROUND_MS)
  t.is(on.finding, undefined)
  t.true(on.isMounted)
})

test('a record that comes back takes the nomination away', async (t) => {
  const on = await SweepWorld.published(t)
  for (let round = 0; round < 20; round += 1) {
    on.isRecordGone = true
    await on.clock.advance(GRACE_MS - ROUND_MS)
    on.isRecordGone = false
    await on.clock.advance(ROUND_MS)
  }
  t.true(on.isMounted)
})

test('two witnesses count apart: the second does not inherit the grace time of the first', async (t) => {
  const on = await SweepWorld.published(t)
  await on.askedAndToldThat('POD_GONE')
  await on.clock.advance(GRACE_MS - ROUND_MS)
  on.isRecordGone = true
  await on.clock.advance(ROUND_MS - 1)
  on.say('POD_ALIVE')
  await on.clock.advance(GRACE_MS - 2 * ROUND_MS)
  t.true(on.isMounted)
  await on.clock.advance(3 * ROUND_MS)
  t.false(on.isMounted)
  t.is(await on.swept('kubelet_record'), 1)
})

test('two witnesses at once take a volume away once', async (t) => {
  const on = await SweepWorld.published(t)
  on.isRecordGone = true
  on.life = ALIVE
  await on.askedAndToldThat('POD_GONE')
  await on.clock.advance(GRACE_MS)
  on.life = EMPTY
  await on.clock.advance(ROUND_MS)
  t.false(on.isMounted)
  t.is((await on.swept('kubelet_record')) + (await on.swept('api_server')), 1)
  t.is(on.store.calls.filter((call) => call === 'remove').length, 1)
})

test('a restarted host begins the count anew', async (t) => {
  const store = new MemoryStore()
  const before = await SweepWorld.published(t, store)
  before.isRecordGone = true
  await before.clock.advance(GRACE_MS)
  await before.sweeper.stop()
  before.volumes.stop()

  const after = new SweepWorld(t, store)
  after.isRecordGone = true
  after.volumes.adopt()
  after.sweeper.start()
  await after.clock.advance(GRACE_MS)
  t.true(after.isMounted)
  await after.clock.advance(2 * ROUND_MS)
  t.false(after.isMounted)
})

test('a clock that jumps is no time that has passed', async (t) => {
  const on = await SweepWorld.published(t)
  await on.sweeper.stop()
  on.isRecordGone = true
  await on.sweeper.sweep()
  await on.clock.advance(HOUR_MS)
  await on.sweeper.sweep()
  t.true(on.isMounted)
  t.is(on.questions, 0)
})

test('a republish in the middle of the last look keeps the files', async (t) => {
  const on = await SweepWorld.published(t)
  on.isRecordGone = true
  await on.clock.advance(GRACE_MS)
  const answer = Promise.withResolvers<typeof EMPTY>()
  let looks = 0
  on.lifeOf = () => {
    looks += 1
    return looks < 2 ? EMPTY : answer.promise
  }
  await on.clock.advance(ROUND_MS)
  t.is(looks, 2)
  await on.republish()
  answer.resolve(EMPTY)
  await on.clock.advance(1)
  t.true(on.isMounted)
  t.deepEqual(on.store.calls, ['create'])
})

for (const [what, happens] of [
  ['a republish', (on: SweepWorld) => on.republish()],
  [
    'a record that is there again',
    (on: SweepWorld) => {
      on.isRecordGone = false
      return Promise.resolve()
    },
  ],
] as const) {
  test(`${what} between the last round's look and the volume's turn keeps the files`, async (t) => {
    const on = await SweepWorld.published(t)
    on.isRecordGone = true
    await on.clock.advance(GRACE_MS)
    const answer = Promise.withResolvers<typeof EMPTY>()
    on.lifeOf = () => answer.promise
    await on.clock.advance(ROUND_MS)
    await happens(on)
    on.lifeOf = () => EMPTY
    answer.resolve(EMPTY)
    await on.clock.advance(1)
    t.true(on.isMounted)
    t.is(await on.swept('kubelet_record'), 0)
  })
}

test('an API server that takes its word back in that moment keeps the files', async (t) => {
  const on = await SweepWorld.published(t)
  await on.askedAndToldThat('POD_GONE')
  await on.clock.advance(GRACE_MS)
  const answer = Promise.withResolvers<typeof EMPTY>()
  on.lifeOf = () => answer.promise
  await on.clock.advance(ROUND_MS)
  on.say('POD_ALIVE')
  await on.clock.advance(1)
  answer.resolve(EMPTY)
  await on.clock.advance(1)
  t.true(on.isMounted)
  t.is(await on.swept('api_server'), 0)
})

test('an unpublish in the middle of the last look is answered OK', async (t) => {
  const on = await SweepWorld.published(t)
  on.isRecordGone = true
  await on.clock.advance(GRACE_MS)
  const answer = Promise.withResolvers<typeof EMPTY>()
  let looks = 0
  on.lifeOf = () => {
    looks += 1
    return looks < 2 ? EMPTY : answer.promise
  }
  await on.clock.advance(ROUND_MS)
  const unpublished = on.volumes.unpublish(volumeRequest())
  answer.resolve(EMPTY)
  await unpublished
  t.false(on.isMounted)
  t.is(on.volumes.keepers().length, 0)
})

test('a publish that comes while the files go builds the volume anew', async (t) => {
  const on = await SweepWorld.published(t)
  on.isRecordGone = true
  await on.clock.advance(GRACE_MS + ROUND_MS)
  t.false(on.isMounted)
  on.isRecordGone = false
  await on.publish()
  t.true(on.isMounted)
  t.is(on.store.read(volumeRequest().volumeId, 'password'), 'one')
  await on.clock.advance(2 * GRACE_MS)
  t.true(on.isMounted)
})

test("kubelet's own unpublish of what was swept away is answered OK", async (t) => {
  const on = await SweepWorld.published(t)
  on.isRecordGone = true
  await on.clock.advance(GRACE_MS + ROUND_MS)
  t.false(on.isMounted)
  await t.notThrowsAsync(on.volumes.unpublish(volumeRequest()))
})

test('a volume that is still being published is not looked at', async (t) => {
  const on = new SweepWorld(t)
  on.isRecordGone = true
  on.sweeper.start()
  const publishing = on.volumes.publish(volumeRequest(), new AbortController().signal)
  const stream = await on.daemon.stream(0)
  await on.clock.advance(50_000)
  t.is(on.finding, undefined)
  stream.contents(1, { password: 'one' })
  await publishing
  t.true(on.isMounted)
})

test('files that could not be removed are tried again, and said to be there', async (t) => {
  const on = await SweepWorld.published(t)
  on.isRecordGone = true
  on.store.failNext = 'remove'
  await on.clock.advance(GRACE_MS + ROUND_MS)
  t.true(on.isMounted)
  t.is(on.finding?.state, 'ending')
  t.regex(on.finding?.note ?? '', /could not be removed: remove failed as told/)
  await on.clock.advance(ROUND_MS)
  t.false(on.isMounted)
  t.is(await on.swept('kubelet_record'), 1)
})

test('nothing is swept away once the host stops', async (t) => {
  const on = await SweepWorld.published(t)
  on.isRecordGone = true
  await on.clock.advance(GRACE_MS)
  const answer = Promise.withResolvers<typeof EMPTY>()
  on.lifeOf = () => answer.promise
  await on.clock.advance(ROUND_MS)
  const stopped = on.sweeper.stop()
  answer.resolve(EMPTY)
  await stopped
  t.true(on.isMounted)
})

test('a volume that appears after the start is taken over, and swept like any other', async (t) => {
  const store = new MemoryStore()
  const older = await SweepWorld.published(t, store)
  const request = volumeRequest()
  await older.volumes.unpublish(request)

  const on = new SweepWorld(t, store)
  on.volumes.adopt()
  on.sweeper.start()
  await older.publish()
  await older.sweeper.stop()
  older.volumes.stop()
  await on.clock.advance(ROUND_MS)
  t.is(on.volumes.count().mounted, 1)
  const resumed = await on.daemon.stream(0)
  t.truthy(resumed.heard[0]?.resume)
  on.isRecordGone = true
  await on.clock.advance(LIMIT_MS)
  t.false(on.isMounted)
})

test('a stray that cannot be read back is left alone', async (t) => {
  const store = new MemoryStore()
  const older = await SweepWorld.published(t, store)
  const on = new SweepWorld(t, store)
  store.digest = () => {
    throw new Error('half taken away')
  }
  on.sweeper.start()
  await on.clock.advance(5 * ROUND_MS)
  t.is(on.volumes.keepers().length, 0)
  t.true(older.isMounted)
  t.is(on.lines.filter((line) => line.includes('volume not readable')).length, 1)
})

test('any number of strays that cannot be read back do not hide a good one', (t) => {
  const store = new MemoryStore()
  const on = new SweepWorld(t, store)
  const volumes = Array.from({ length: 65 }, (_, index) => {
    const { volumeId, targetPath, fsGroup } = volumeRequest()
    return { volumeId: `${volumeId}-${index}`, targetPath: `${targetPath}-${index}`, fsGroup }
  })
  for (const volume of volumes) store.create(volume, [])
  const good = volumes.at(-1)?.volumeId
  const digest = store.digest.bind(store)
  store.digest = (volume) => {
    if (volume.volumeId !== good) throw new LatchkeyError('VolumeIo', 'half taken away')
    return digest(volume)
  }
  on.volumes.adoptStrays(64)
  on.volumes.adoptStrays(64)
  t.deepEqual(
    on.volumes.keepers().map(({ volume }) => volume.volumeId),
    [good],
  )
  t.is(on.lines.filter((line) => line.includes('volume not readable')).length, 64)
})

test('a stray that cannot be read back is reported as stranded until it is gone', async (t) => {
  const store = new MemoryStore()
  await SweepWorld.published(t, store)
  const on = new SweepWorld(t, store)
  store.digest = () => {
    throw new LatchkeyError('VolumeIo', 'half taken away')
  }
  on.volumes.adoptStrays(64)
  const strays = on.volumes.unreadableStrays()
  const { volumeId, targetPath } = volumeRequest()
  const note = 'left by an earlier host side, and cannot be read back: half taken away'
  t.deepEqual(describeHeld([], new Map(), strays), [
    { volumeId, targetPath, state: 'HELD_STRANDED', note },
  ])
  t.is(countHeld([], new Map(), strays).stranded, 1)
  await on.volumes.unpublish(volumeRequest())
  t.deepEqual(on.volumes.unreadableStrays(), [])
})

test('a round that fails does not end the sweep', async (t) => {
  const on = await SweepWorld.published(t)
  on.isRecordGone = true
  on.lifeOf = () => {
    throw new Error('not readable at all')
  }
  await on.clock.advance(GRACE_MS)
  t.true(on.lines.some((line) => line.includes('round of the sweep failed')))
  on.lifeOf = () => EMPTY
  await on.clock.advance(LIMIT_MS)
  await until(() => !on.isMounted, { what: 'the volume to go' })
  t.pass()
})

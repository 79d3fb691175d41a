import test from 'ava'
import { until } from '../../support/until.ts'
import { volumeRequest } from '../../support/volume-requests.ts'
import { Sessions } from '../../../src/daemon/mount/sessions.ts'
import { begin, opened, openMessage, TOKEN_LIFE_MS, World } from './mount-world.ts'

test('an authorised pod is sent its files, and the daemon keeps no value of them', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  t.is((await shim.generation(1)).text, 'password=one')
  t.true(on.handedOut.every((secret) => secret.use((b) => b.every((byte) => byte === 0))))
})

test('a changed secret is sent as the next generation', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  on.change({ password: 'two' })
  const next = await shim.generation(2)
  t.like(next, { generation: 2, text: 'password=two' })
})

test('a notice without a change sends nothing', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  on.change({ password: 'one' })
  await until(() => on.fetches === 2, { what: 'the second fetch' })
  on.change({ password: 'two' })
  t.is((await shim.generation(2)).text, 'password=two')
})

test('one generation at most is unanswered, and what comes next is the newest', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  on.change({ password: 'two' })
  await shim.generation(2)
  on.change({ password: 'three' })
  on.change({ password: 'four' })
  t.is(shim.heard.length, 2)
  shim.commit(2)
  t.is((await shim.generation(3)).text, 'password=four')
})

for (const reason of ['TokenRejected', 'PodMismatch', 'KubeUnavailable'] as const) {
  test(`a pod that the review answers with ${reason} is refused before anything is fetched`, async (t) => {
    const on = new World()
    on.review = reason
    const { shim, ended } = begin(t, on, openMessage())
    t.is((await ended)?.reason, reason)
    t.is(on.fetches, 0)
    t.is(shim.heard.length, 0)
  })
}

test('attributes are checked before the API server is asked', async (t) => {
  const on = new World()
  const { ended } = begin(t, on, openMessage({ attributes: new Map([['sceret', 'db']]) }))
  t.is((await ended)?.reason, 'InvalidRequest')
  t.deepEqual(on.reviewed, [])
})

test('a missing secret is refused at once where the shim does not wait', async (t) => {
  const on = new World()
  on.secret = 'SecretNotFound'
  const { ended } = begin(t, on, openMessage())
  t.is((await ended)?.reason, 'SecretNotFound')
})

test('a held mount goes on as soon as the secret is there', async (t) => {
  const on = new World()
  on.secret = 'SecretNotFound'
  const { shim } = begin(t, on, openMessage({}, 50_000))
  await until(() => on.fetches === 1, { what: 'the first look' })
  await until(() => on.subscribers.size > 0, { what: 'the watch' })
  on.change({ password: 'here' })
  t.is((await shim.generation(1)).text, 'password=here')
})

test('a hold ends with the reason it was held for, and frees its slot meanwhile', async (t) => {
  const on = new World()
  on.secret = 'SecretNotFound'
  const held = Array.from({ length: 6 }, () => begin(t, on, openMessage({}, 50_000)))
  await until(() => on.fetches === 6, { what: 'more looks than there are slots' })
  await on.clock.advance(50_000)
  for (const { ended } of held) t.is((await ended)?.reason, 'SecretNotFound')
  t.is(on.subscribers.size, 0)
})

test('AccessDenied is answered at once although the shim would wait', async (t) => {
  const on = new World()
  on.secret = 'AccessDenied'
  const { ended } = begin(t, on, openMessage({}, 50_000))
  t.is((await ended)?.reason, 'AccessDenied')
})

test('a refresh that fails keeps the stream and is tried again until it succeeds', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  on.change('SourceUnavailable')
  await until(() => on.fetches === 2, { what: 'the failing fetch' })
  on.secret = { password: 'two' }
  await on.clock.advance(2_000)
  t.is((await shim.generation(2)).text, 'password=two')
})

test('newer tokens are reviewed once and then used', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  const { tokens } = openMessage().open ?? { tokens: [] }
  const newer = tokens.map((token) => ({ ...token, token: Buffer.from('token-2') }))
  shim.say({ tokens: { tokens: newer } })
  await until(() => on.reviewed.length === 2, { what: 'the review' })
  t.deepEqual(on.reviewed, ['token-1', 'token-2'])
})

test('newer tokens that nobody can review are tried again, and the stream goes on meanwhile', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  on.review = 'KubeUnavailable'
  shim.say({ tokens: { tokens: openMessage().open?.tokens ?? [] } })
  await until(() => on.reviewed.length === 2, { what: 'the first try' })
  on.change({ password: 'two' })
  t.is((await shim.generation(2)).text, 'password=two')
  shim.commit(2)
  on.review = undefined
  await on.clock.advance(2_000)
  await until(() => on.reviewed.length === 3, { what: 'the second try' })
  await on.clock.advance(60_000)
  t.is(on.reviewed.length, 3)
})

test('a review that hangs holds up nobody: answers are heard, and newer tokens take its place', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  const status = () => on.sessions.list()[0]?.session.status
  const before = status()?.changedAtMs ?? Number.NaN
  const hanging = Promise.withResolvers<never>()
  const authenticate = on.stages.authenticate
  Object.assign(on.stages, { authenticate: () => hanging.promise })
  shim.say({ tokens: { tokens: openMessage().open?.tokens ?? [] } })
  on.change({ password: 'two' })
  await shim.generation(2)
  shim.commit(2)
  await until(() => (status()?.changedAtMs ?? 0) > before, { what: 'the commit to be heard' })
  Object.assign(on.stages, { authenticate })
  shim.say({ tokens: { tokens: openMessage().open?.tokens ?? [] } })
  await until(() => on.reviewed.length === 2, { what: 'the newer tokens to be reviewed' })
  t.is(status()?.staleness, undefined)
})

test('notices without a change are looked at in pace', async (t) => {
  const on = new World()
  await opened(t, on)
  const before = on.fetches
  for (let notice = 0; notice < 100; notice += 1) {
    for (const notify of on.subscribers) notify()
    await on.clock.advance(10)
  }
  t.true(on.fetches - before <= 3, `${on.fetches - before} fetches in a second`)
})

test('a stream that ends with its first commit leaves no watch behind', async (t) => {
  const on = new World()
  const { shim, ended } = begin(t, on, openMessage())
  await shim.generation(1)
  shim.commit(1)
  shim.say({ unmounted: {} })
  t.is(await ended, undefined)
  t.is(on.subscribers.size, 0)
  t.deepEqual(on.sessions.count(), { live: 0, detached: 0 })
})

test('a secret that changes all the time is sent at a pace, the newest each time', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  on.secret = { password: 'two' }
  for (const notify of on.subscribers) notify()
  await on.clock.advance(400)
  t.is(shim.heard.length, 1)
  on.secret = { password: 'three' }
  await on.clock.advance(200)
  t.is((await shim.generation(2)).text, 'password=three')
})

test('newer tokens that are refused change nothing', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  on.review = 'PodMismatch'
  const { tokens } = openMessage().open ?? { tokens: [] }
  shim.say({ tokens: { tokens } })
  await until(() => on.reviewed.length === 2, { what: 'the review' })
  on.change({ password: 'two' })
  t.is((await shim.generation(2)).text, 'password=two')
})

test('a shim that failed to write is offered the next contents all the same', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  on.change({ password: 'two' })
  await shim.generation(2)
  shim.say({ failed: { generation: 2, reason: 'VolumeIo', message: 'no space' } })
  await until(() => on.fetches === 2, { what: 'the fetch' })
  await on.clock.advance(2_000)
  t.like(await shim.generation(3), { generation: 3, text: 'password=two' })
})

test('Unmounted ends the stream, the watch and the session', async (t) => {
  const on = new World()
  const { shim, ended } = await opened(t, on)
  shim.say({ unmounted: {} })
  t.is(await ended, undefined)
  t.is(on.subscribers.size, 0)
  t.deepEqual(on.sessions.count(), { live: 0, detached: 0 })
  t.is(on.budget.totalBytes, 0)
  t.is(on.clock.pending, 0)
})

test('a broken stream can be resumed with proof, and gets what changed meanwhile', async (t) => {
  const on = new World()
  const { shim, ended, digest } = await opened(t, on)
  shim.hangUp()
  await ended
  t.deepEqual(on.sessions.count(), { live: 0, detached: 1 })
  on.secret = { password: 'two' }
  const { volumeId, targetPath } = volumeRequest()
  const again = begin(t, on, { resume: { volumeId, targetPath, digest } })
  t.is((await again.shim.generation(1)).text, 'password=two')
  t.truthy(again.shim.heard[0]?.resumed)
  t.is(on.reviewed.length, 1)
})

test('a shim that dies again and again before it commits can still resume with what it shows', async (t) => {
  const on = new World()
  const first = await opened(t, on)
  let { shim, ended } = first
  const { digest } = first
  const { volumeId, targetPath } = volumeRequest()
  for (const password of ['two', 'three', 'four']) {
    shim.hangUp()
    await ended
    on.secret = { password }
    ;({ shim, ended } = begin(t, on, { resume: { volumeId, targetPath, digest } }))
    t.is((await shim.generation(1)).text, `password=${password}`)
  }
})

test('resuming with nothing changed sends no contents', async (t) => {
  const on = new World()
  const { shim, ended, digest } = await opened(t, on)
  shim.hangUp()
  await ended
  const { volumeId, targetPath } = volumeRequest()
  const again = begin(t, on, { resume: { volumeId, targetPath, digest } })
  await until(() => on.fetches === 2, { what: 'the look after the resume' })
  on.change({ password: 'two' })
  t.is((await again.shim.generation(1)).text, 'password=two')
})

for (const [what, changes] of [
  ['without proof', { digest: Buffer.alloc(32) }],
  ['with an empty proof', { digest: Buffer.alloc(0) }],
  ['for another target', { targetPath: '/var/lib/kubelet/pods/x' }],
  ['of another volume', { volumeId: `csi-${'0'.repeat(64)}` }],
] as const) {
  test(`a Resume ${what} is an unknown session`, async (t) => {
    const on = new World()
    const { shim, ended, digest } = await opened(t, on)
    shim.hangUp()
    await ended
    const { volumeId, targetPath } = volumeRequest()
    const again = begin(t, on, { resume: { volumeId, targetPath, digest, ...changes } })
    t.is((await again.ended)?.reason, 'UnknownSession')
  })
}

test('a Resume never takes the place of a living stream', async (t) => {
  const on = new World()
  const { shim, digest } = await opened(t, on)
  const { volumeId, targetPath } = volumeRequest()
  const thief = begin(t, on, { resume: { volumeId, targetPath, digest } })
  t.is((await thief.ended)?.reason, 'UnknownSession')
  on.change({ password: 'two' })
  t.is((await shim.generation(2)).text, 'password=two')
})

test('a session is gone when its reviewed token expires', async (t) => {
  const on = new World()
  const { shim, ended, digest } = await opened(t, on)
  shim.hangUp()
  await ended
  await on.clock.advance(TOKEN_LIFE_MS)
  const { volumeId, targetPath } = volumeRequest()
  const again = begin(t, on, { resume: { volumeId, targetPath, digest } })
  t.is((await again.ended)?.reason, 'UnknownSession')
  t.is(on.budget.totalBytes, 0)
})

test('an Open displaces the older stream, but only once it is authorised', async (t) => {
  const on = new World()
  const first = await opened(t, on)
  on.review = 'TokenRejected'
  const thief = begin(t, on, openMessage())
  t.is((await thief.ended)?.reason, 'TokenRejected')
  on.change({ password: 'two' })
  await first.shim.generation(2)
  first.shim.commit(2)

  on.review = undefined
  const newer = begin(t, on, openMessage())
  await newer.shim.generation(1)
  t.is((await first.ended)?.reason, 'OperationPending')
  t.deepEqual(on.sessions.count(), { live: 1, detached: 0 })
})

test('a namespace over its share is refused as Overloaded, and its volumes stay', async (t) => {
  const on = new World()
  const first = await opened(t, on)
  on.change({ password: 'x'.repeat(20_000) })
  await until(() => on.fetches === 2, { what: 'the fetch' })
  on.change({ password: 'two' })
  t.is((await first.shim.generation(2)).text, 'password=two')
})

for (const [what, message] of [
  ['Committed', { committed: { generation: 1 } }],
  ['nothing', {}],
] as const) {
  test(`a stream that begins with ${what} is refused`, async (t) => {
    const { ended } = begin(t, new World(), message)
    t.is((await ended)?.reason, 'InvalidRequest')
  })
}

test('an answer to a generation that was never sent ends the stream', async (t) => {
  const on = new World()
  const { shim, ended } = await opened(t, on)
  shim.commit(7)
  t.is((await ended)?.reason, 'InvalidRequest')
})

for (const life of ['POD_ALIVE', 'POD_GONE', 'POD_UNKNOWN'] as const) {
  test(`a shim that kubelet stays away from is told ${life}, and the volume is served on`, async (t) => {
    const on = new World()
    const { shim } = await opened(t, on)
    on.life = life
    shim.say({ unattended: {} })
    await until(() => shim.heard.length === 2, { what: 'the verdict' })
    t.deepEqual(shim.heard[1], { verdict: { pod: life } })
    t.is(on.asked, 1)
    on.change({ password: 'two' })
    t.is((await shim.generation(2)).text, 'password=two')
  })
}

test('a shim that asks faster than the API server answers costs one question at a time', async (t) => {
  const on = new World()
  const { shim } = await opened(t, on)
  const answer = Promise.withResolvers<'POD_GONE'>()
  let asked = 0
  const askForPod = () => {
    asked += 1
    return answer.promise
  }
  Object.assign(on.stages, { askForPod })
  for (let asking = 0; asking < 5; asking += 1) shim.say({ unattended: {} })
  on.change({ password: 'two' })
  await shim.generation(2)
  t.is(asked, 1)
  answer.resolve('POD_GONE')
  await until(() => shim.heard.some(({ verdict }) => verdict), { what: 'the verdict' })
  t.is(asked, 1)
})

test('contents served from memory show as stale, and the source is asked on until it answers', async (t) => {
  const on = new World()
  on.stale = { sinceMs: on.clock.now() - 60_000, reason: 'SourceUnavailable' }
  const { shim } = await opened(t, on)
  const status = () => on.sessions.list()[0]?.session.status
  t.is(status()?.staleness?.error.reason, 'SourceUnavailable')
  t.is(status()?.staleness?.sinceMs, on.stale.sinceMs)
  t.deepEqual(on.told, ['stale SourceUnavailable'])
  on.stale = undefined
  on.secret = { password: 'two' }
  await on.clock.advance(5_000)
  t.is((await shim.generation(2)).text, 'password=two')
  shim.commit(2)
  await until(() => status()?.staleness === undefined, { what: 'the volume to be fresh' })
  t.deepEqual(on.told, ['stale SourceUnavailable', 'fresh'])
})

test('a pod is told of every look that failed, of the one that went well, and of nothing after its end', async (t) => {
  const on = new World()
  const { shim, ended } = await opened(t, on)
  on.change('AccessDenied')
  await until(() => on.told.length === 1, { what: 'the failed look' })
  on.change({ password: 'one' })
  await until(() => on.told.length === 2, { what: 'the look that went well' })
  shim.say({ unmounted: {} })
  await ended
  t.deepEqual(on.told, ['stale AccessDenied', 'fresh', 'forget'])
})

test('the next look is that of the feeds', async (t) => {
  const on = new World()
  await opened(t, on)
  const status = () => on.sessions.list()[0]?.session.status
  t.is(status()?.nextLookAtMs, undefined)
  on.nextLookAtMs = on.clock.now() + 60_000
  t.is(status()?.nextLookAtMs, on.nextLookAtMs)
})

test('the end of a service account’s last volume is told, and no other end', async (t) => {
  const on = new World()
  let gone = 0
  const sessions = new Sessions(on.clock, on.budget, { accountGone: () => void (gone += 1) })
  Object.assign(on.stages, { sessions })
  const first = await opened(t, on)
  const second = begin(t, on, openMessage({ volumeId: 'csi-other' }))
  await second.shim.generation(1)
  second.shim.commit(1)
  await until(() => sessions.count().live === 2, { what: 'both to be live' })
  first.shim.say({ unmounted: {} })
  await first.ended
  t.is(gone, 0)
  second.shim.say({ unmounted: {} })
  await second.ended
  t.is(gone, 1)
})

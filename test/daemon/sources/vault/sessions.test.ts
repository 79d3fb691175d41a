import test from 'ava'
import { LatchkeyError } from '../../../../src/core/errors.ts'
import { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import {
  VaultSessions,
  type AcquireOptions,
  type SessionHandle,
  type SessionOwner,
} from '../../../../src/daemon/sources/vault/sessions.ts'
import { VaultError } from '../../../../src/daemon/sources/vault/vault-error.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { away, deadToken, ScriptedApi, textOf } from './scripted-api.ts'

const OWNER: SessionOwner = {
  namespace: 'shop',
  serviceAccount: 'api',
  serviceAccountUid: 'uid-1',
  role: 'web',
}
const MINUTE_MS = 60_000
const NEVER = new AbortController().signal

function world() {
  const clock = new FakeClock()
  const api = new ScriptedApi(clock)
  const events: string[] = []
  const sessions = new VaultSessions({
    api,
    clock,
    random: () => 0.5,
    onEvent: (event) =>
      void events.push('reason' in event ? `${event.what} ${event.reason}` : event.what),
  })
  let volumes = 0
  const acquire = (options: AcquireOptions = {}, owner = OWNER): SessionHandle => {
    const handle = sessions.acquire(owner, options)
    volumes += 1
    handle.offer(podToken(`jwt-${volumes}`, clock.now() + 10 * MINUTE_MS))
    return handle
  }
  return { clock, api, events, sessions, acquire }
}

function podToken(text: string, expiresAtMs: number) {
  return { token: new SecretBytes(Buffer.from(text)), expiresAtMs }
}

/** The token that a call is made with. */
const tokenOf = (handle: SessionHandle): Promise<string> =>
  handle.use(NEVER, ({ token }) => Promise.resolve(textOf(token)))

async function failure(work: Promise<unknown>): Promise<LatchkeyError> {
  try {
    await work
  } catch (thrown) {
    return LatchkeyError.from(thrown)
  }
  throw new Error('it did not fail')
}

test('110 volumes of 20 service accounts that start at once make 20 logins', async (t) => {
  const { api, sessions, acquire } = world()
  const handles = [...Array(110).keys()].map((index) =>
    acquire({}, { ...OWNER, serviceAccount: `sa-${index % 20}` }),
  )
  await Promise.all(handles.map(tokenOf))
  t.is(api.logins.length, 20)
  t.is(sessions.size, 20)
  await Promise.all(handles.map((handle) => handle.release()))
  t.is(api.revoked.length, 20)
  t.is(sessions.size, 0)
})

test('no session is shared across namespaces, service accounts, their uids or roles', async (t) => {
  const { api, acquire } = world()
  const owners = [
    OWNER,
    { ...OWNER, namespace: 'other' },
    { ...OWNER, serviceAccount: 'web' },
    { ...OWNER, serviceAccountUid: 'uid-2' },
    { ...OWNER, role: 'admin' },
  ]
  const tokens = await Promise.all(owners.map((owner) => tokenOf(acquire({}, owner))))
  t.is(new Set(tokens).size, owners.length)
  t.is(api.logins.length, owners.length)
})

test('a login is made when it is needed, not before', async (t) => {
  const { api, clock, acquire } = world()
  const handle = acquire()
  await clock.advance(MINUTE_MS)
  t.is(api.logins.length, 0)
  t.is(await handle.release(), 'ended')
  t.deepEqual(api.revoked, [])
})

test('the last volume ends the session, the others only let go of it', async (t) => {
  const { api, clock, acquire } = world()
  const [one, two] = [acquire(), acquire()]
  await tokenOf(one)
  t.is(await one.release(), 'shared')
  t.is(await one.release(), 'shared')
  t.deepEqual(api.revoked, [])
  t.is(await tokenOf(two), 'hvs.session-1')
  t.is(await two.release(), 'ended')
  t.deepEqual(api.revoked, ['hvs.session-1'])
  t.is(clock.pending, 0)
  t.is((await failure(tokenOf(two))).reason, 'UnknownSession')
})

test('whoever comes after the last has gone logs in for itself', async (t) => {
  const { acquire } = world()
  const one = acquire()
  await tokenOf(one)
  const released = one.release()
  const two = acquire()
  t.is(await tokenOf(two), 'hvs.session-2')
  t.is(await released, 'ended')
})

test('a session is renewed at two thirds of its life, again and again', async (t) => {
  const { clock, api, events, acquire } = world()
  const handle = acquire()
  await tokenOf(handle)
  await clock.advance(399_000)
  t.is(api.renewals.length, 0)
  await clock.advance(2_000)
  t.is(api.renewals.length, 1)
  await clock.advance(3_600_000)
  t.is(api.renewals.length, 10)
  t.is(await tokenOf(handle), 'hvs.session-1')
  t.is(api.logins.length, 1)
  t.deepEqual(new Set(events), new Set(['opened', 'renewed']))
})

test('renewals are spread, so that sessions that began together do not come together', async (t) => {
  const dueMs: number[] = []
  for (const draw of [0, 0.999]) {
    const clock = new FakeClock()
    const api = new ScriptedApi(clock)
    const handle = new VaultSessions({ api, clock, random: () => draw }).acquire(OWNER)
    handle.offer(podToken('jwt', clock.now() + 10 * MINUTE_MS))
    await tokenOf(handle)
    const startedMs = clock.now()
    while (api.renewals.length === 0) await clock.advance(1_000)
    dueMs.push(clock.now() - startedMs)
  }
  t.deepEqual(dueMs, [360_000, 440_000])
})

test('a life of a year is not taken for a millisecond', async (t) => {
  const { clock, api, acquire } = world()
  api.ttlMs = 365 * 86_400_000
  api.maxTtlMs = 10 * api.ttlMs
  const handle = acquire()
  await tokenOf(handle)
  await clock.advance(200 * 86_400_000)
  t.is(api.renewals.length, 0)
  await clock.advance(50 * 86_400_000)
  t.is(api.renewals.length, 1)
})

test('a session that never ends is not renewed', async (t) => {
  const { clock, api, acquire } = world()
  api.ttlMs = 0
  api.before = () => undefined
  await tokenOf(acquire())
  t.is(clock.pending, 0)
  t.is(api.renewals.length, 0)
})

test('near its longest life a session is replaced, the holders hear of it, both are ended', async (t) => {
  const { clock, api, events, acquire } = world()
  api.maxTtlMs = 15 * MINUTE_MS
  const heard: number[] = []
  const handle = acquire({ onReplaced: (endsAtMs) => heard.push(endsAtMs) })
  handle.offer(podToken('newest', clock.now() + 60 * MINUTE_MS))
  const startedMs = clock.now()
  await tokenOf(handle)
  // The renewal after 6:40 meets the end at 15:00: 8:20 in place of 10:00.
  await clock.advance(7 * MINUTE_MS)
  t.deepEqual(api.logins, ['newest', 'newest'])
  t.is(await tokenOf(handle), 'hvs.session-2')
  t.deepEqual(heard, [startedMs + 15 * MINUTE_MS])
  t.deepEqual(events, ['opened', 'replaced'])
  t.deepEqual(api.revoked, [])
  t.is(await handle.release(), 'ended')
  t.deepEqual(api.revoked.toSorted(), ['hvs.session-1', 'hvs.session-2'])
})

test('a token that cannot be renewed is replaced in time', async (t) => {
  const { clock, api, acquire } = world()
  api.isRenewable = false
  const handle = acquire()
  handle.offer(podToken('newest', clock.now() + 60 * MINUTE_MS))
  await tokenOf(handle)
  await clock.advance(7 * MINUTE_MS)
  t.is(api.renewals.length, 0)
  t.is(await tokenOf(handle), 'hvs.session-2')
})

test('a role that may not renew itself is logged in anew', async (t) => {
  const { clock, api, acquire } = world()
  api.before = (call) => {
    if (call === 'renew') throw new VaultError('AccessDenied', 'permission denied')
    return undefined
  }
  const handle = acquire()
  await tokenOf(handle)
  await clock.advance(7 * MINUTE_MS)
  t.is(await tokenOf(handle), 'hvs.session-2')
})

test('while Vault is away the session goes on, and is renewed when it is back', async (t) => {
  const { clock, api, events, acquire } = world()
  const handle = acquire()
  await tokenOf(handle)
  api.before = (call) => {
    if (call === 'renew') throw away()
    return undefined
  }
  await clock.advance(8 * MINUTE_MS)
  t.is(await tokenOf(handle), 'hvs.session-1')
  t.true(events.includes('not-renewed SourceUnavailable'))
  t.true(api.renewals.length > 1 && api.renewals.length < 10, `${api.renewals.length}`)
  api.before = () => undefined
  await clock.advance(2 * MINUTE_MS)
  t.is(events.at(-1), 'renewed')
  t.is(api.logins.length, 1)
})

test('a session that ended while Vault was away is replaced, without anybody asking', async (t) => {
  const { clock, api, acquire } = world()
  const heard: number[] = []
  const handle = acquire({ onReplaced: (endsAtMs) => heard.push(endsAtMs) })
  handle.offer(podToken('newest', clock.now() + 60 * MINUTE_MS))
  await tokenOf(handle)
  api.before = () => {
    throw away()
  }
  await clock.advance(12 * MINUTE_MS)
  api.before = () => undefined
  await clock.advance(MINUTE_MS)
  t.is(heard.length, 1)
  t.not(await tokenOf(handle), 'hvs.session-1')
})

test('a session that the other side ended is opened anew once, for all who meet it', async (t) => {
  const { api, acquire } = world()
  const handles = [acquire(), acquire(), acquire()]
  await Promise.all(handles.map(tokenOf))
  api.living.clear()
  const work = (handle: SessionHandle): Promise<string> =>
    handle.use(NEVER, ({ token }) => {
      if (!api.living.has(textOf(token))) return Promise.reject(deadToken())
      return Promise.resolve(textOf(token))
    })
  t.deepEqual(await Promise.all(handles.map(work)), Array(3).fill('hvs.session-2'))
  t.is(api.logins.length, 2)
})

test('a new session that is refused as well is denied, and not tried a third time', async (t) => {
  const { api, acquire } = world()
  const refused = await failure(acquire().use(NEVER, () => Promise.reject(deadToken())))
  t.is(refused.reason, 'AccessDenied')
  t.false(refused instanceof VaultError)
  t.is(api.logins.length, 2)
})

test('a right that is missing costs no login', async (t) => {
  const { api, acquire } = world()
  const denied = new VaultError('AccessDenied', 'permission denied', { status: 403 })
  t.is(await failure(acquire().use(NEVER, () => Promise.reject(denied))), denied)
  t.is(api.logins.length, 1)
})

test('the newest token of any holder logs in, and another one where its pod is gone', async (t) => {
  const { clock, api, acquire } = world()
  const [one, two] = [acquire(), acquire()]
  one.offer(podToken('older', clock.now() + 5 * MINUTE_MS))
  two.offer(podToken('newest', clock.now() + 9 * MINUTE_MS))
  api.before = (call, text) => {
    if (call === 'login' && text === 'newest') throw new VaultError('AccessDenied', 'pod is gone')
    return undefined
  }
  await tokenOf(one)
  t.deepEqual(api.logins, ['newest', 'older'])
})

test('a login that fails for both is refused with what the newest heard', async (t) => {
  const { clock, api, acquire } = world()
  for (const name of ['a', 'b', 'c']) acquire().offer(podToken(name, clock.now() + MINUTE_MS))
  api.before = (_call, text) => {
    throw new VaultError('AccessDenied', `no role for ${text}`)
  }
  const handle = acquire()
  t.is((await failure(tokenOf(handle))).message, 'no role for jwt-4')
  t.is(api.logins.length, 2)
})

test('tokens that have expired are not sent; without another one it says so', async (t) => {
  const { clock, api, acquire } = world()
  const handle = acquire()
  await clock.advance(11 * MINUTE_MS)
  const refused = await failure(tokenOf(handle))
  t.is(refused.reason, 'TokenMissing')
  t.is(api.logins.length, 0)
  handle.offer(podToken('fresh', clock.now() + MINUTE_MS))
  t.is(await tokenOf(handle), 'hvs.session-1')
})

test('whoever gives up waiting leaves the login to the others', async (t) => {
  const { api, acquire } = world()
  const gate = Promise.withResolvers<void>()
  api.before = (call) => (call === 'login' ? gate.promise : undefined)
  const [one, two] = [acquire(), acquire()]
  const impatient = new AbortController()
  const first = failure(one.use(impatient.signal, () => Promise.resolve()))
  const second = tokenOf(two)
  impatient.abort(new LatchkeyError('Timeout', 'too long'))
  t.is((await first).reason, 'Timeout')
  gate.resolve()
  t.is(await second, 'hvs.session-1')
  t.is(api.logins.length, 1)
})

test('a volume that ends during its login leaves no session behind', async (t) => {
  const { clock, api, acquire } = world()
  const gate = Promise.withResolvers<void>()
  api.before = (call) => (call === 'login' ? gate.promise : undefined)
  const handle = acquire()
  const used = tokenOf(handle).catch(() => 'failed')
  await clock.advance(1)
  t.is(api.logins.length, 1)
  const released = handle.release()
  await clock.advance(1)
  t.deepEqual(api.revoked, [])
  gate.resolve()
  t.is(await released, 'ended')
  await used
  t.deepEqual(api.revoked, ['hvs.session-1'])
  t.is(api.living.size, 0)
  t.is(clock.pending, 0)
})

test('the end is tried again until Vault hears it', async (t) => {
  const { clock, api, acquire } = world()
  const handle = acquire()
  await tokenOf(handle)
  let failures = 3
  api.before = (call) => {
    if (call === 'revoke' && failures-- > 0) throw away()
    return undefined
  }
  const released = handle.release()
  await clock.advance(MINUTE_MS)
  t.is(await released, 'ended')
  t.deepEqual(api.revoked, ['hvs.session-1'])
})

test('the end is given up within a bound where Vault stays away', async (t) => {
  const { clock, api, events, acquire } = world()
  const handle = acquire()
  await tokenOf(handle)
  let tries = 0
  api.before = () => {
    tries += 1
    throw away()
  }
  const released = handle.release()
  await clock.advance(11 * MINUTE_MS)
  t.is(await released, 'given-up')
  t.is(events.at(-1), 'not-ended SourceUnavailable')
  t.true(tries > 10 && tries < 60, `${tries}`)
  t.is(clock.pending, 0)
})

test('a daemon that stops ends nothing, and waits for nothing', async (t) => {
  const { clock, api, sessions, acquire } = world()
  const [living, ending] = [acquire(), acquire({}, { ...OWNER, role: 'other' })]
  await Promise.all([living, ending].map(tokenOf))
  api.before = (call) => {
    if (call === 'revoke') throw away()
    return undefined
  }
  const released = ending.release()
  await clock.advance(10)
  const bookmark = living.bookmark()
  sessions.close()
  t.is(await released, 'closed')
  t.is(await living.release(), 'closed')
  t.deepEqual(api.revoked, [])
  t.is(clock.pending, 0)
  t.is(bookmark && textOf(bookmark), 'hvs.session-1')
  t.is(
    t.throws(() => sessions.acquire(OWNER), { instanceOf: LatchkeyError }).reason,
    'ShuttingDown',
  )
})

test('a login that comes back to a daemon that has stopped is ended, for no bookmark knows it', async (t) => {
  const { clock, api, sessions, acquire } = world()
  const gate = Promise.withResolvers<void>()
  api.before = (call) => (call === 'login' ? gate.promise : undefined)
  const used = failure(tokenOf(acquire()))
  await clock.advance(1)
  t.is(api.logins.length, 1)
  sessions.close()
  gate.resolve()
  await used
  t.deepEqual(api.revoked, ['hvs.session-1'])
  t.is(clock.pending, 0)
})

test('a restarted daemon goes on with the session of the bookmark', async (t) => {
  const { clock, api, events, acquire } = world()
  const before = acquire()
  await tokenOf(before)
  const bookmarks = [before.bookmark(), before.bookmark()]
  await clock.advance(MINUTE_MS)
  const after = new VaultSessions({ api, clock, random: () => 0.5 })
  const handles = bookmarks.map((resume) => after.acquire(OWNER, { resume }))
  t.deepEqual(await Promise.all(handles.map(tokenOf)), Array(2).fill('hvs.session-1'))
  t.is(api.logins.length, 1)
  // What remains of its life counts, not its whole.
  await clock.advance(361_000)
  t.true(api.renewals.length > 0)
  t.is(await handles[0]?.release(), 'shared')
  t.is(await handles[1]?.release(), 'ended')
  t.deepEqual(api.revoked, ['hvs.session-1'])
  t.false(events.includes('ended'))
})

test('a session of the bookmark that has ended meanwhile is replaced by a login', async (t) => {
  const { api, acquire } = world()
  const resume = new SecretBytes(Buffer.from('hvs.long-gone'))
  const handle = acquire({ resume })
  t.is(await tokenOf(handle), 'hvs.session-1')
  t.is(api.logins.length, 1)
})

test('while Vault is away a bookmark is neither forgotten nor replaced', async (t) => {
  const { clock, api, acquire } = world()
  const nowMs = clock.now()
  api.living.set('hvs.kept', { createdAtMs: nowMs, expiresAtMs: nowMs + 60 * MINUTE_MS })
  const handle = acquire({ resume: new SecretBytes(Buffer.from('hvs.kept')) })
  api.before = () => {
    throw away()
  }
  t.is((await failure(tokenOf(handle))).reason, 'SourceUnavailable')
  t.is(api.logins.length, 0)
  const bookmark = handle.bookmark()
  t.is(bookmark && textOf(bookmark), 'hvs.kept')
  api.before = () => undefined
  t.is(await tokenOf(handle), 'hvs.kept')
})

test('a session of the bookmark that nobody needed any more is ended all the same', async (t) => {
  const { clock, api, acquire } = world()
  const nowMs = clock.now()
  api.living.set('hvs.kept', { createdAtMs: nowMs, expiresAtMs: nowMs + 60 * MINUTE_MS })
  const handle = acquire({ resume: new SecretBytes(Buffer.from('hvs.kept')) })
  t.is(await handle.release(), 'ended')
  t.deepEqual(api.revoked, ['hvs.kept'])
})

test('bookmarks of two logins: one is used, both are ended at last', async (t) => {
  const { clock, api, acquire } = world()
  const nowMs = clock.now()
  for (const name of ['hvs.a', 'hvs.b']) {
    api.living.set(name, { createdAtMs: nowMs, expiresAtMs: nowMs + 60 * MINUTE_MS })
  }
  const one = acquire({ resume: new SecretBytes(Buffer.from('hvs.a')) })
  const two = acquire({ resume: new SecretBytes(Buffer.from('hvs.b')) })
  t.deepEqual(await Promise.all([one, two].map(tokenOf)), ['hvs.a', 'hvs.a'])
  await one.release()
  t.is(await two.release(), 'ended')
  t.deepEqual(api.revoked.toSorted(), ['hvs.a', 'hvs.b'])
})

test('sessions print no token, whoever prints them', async (t) => {
  const { sessions, acquire } = world()
  const handle = acquire()
  await tokenOf(handle)
  const { inspect } = await import('node:util')
  const seen = inspect([sessions, handle], { depth: 20, showHidden: true })
  t.false(seen.includes('hvs.session'))
  t.false(seen.includes('jwt-1'))
})

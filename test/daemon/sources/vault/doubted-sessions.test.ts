import test from 'ava'
import { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import {
  VaultSessions,
  type AcquireOptions,
  type SessionHandle,
} from '../../../../src/daemon/sources/vault/sessions.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { VaultError } from '../../../../src/daemon/sources/vault/vault-error.ts'
import { away, deadToken, ScriptedApi, textOf } from './scripted-api.ts'

/* Something may be leased under them that nobody knows of, and the pod may see what else is. */

const OWNER = {
  namespace: 'shop',
  serviceAccount: 'api',
  serviceAccountUid: 'uid-1',
  role: 'web',
  holder: 'volume-1',
}
const MINUTE_MS = 60_000

function world() {
  const clock = new FakeClock()
  const api = new ScriptedApi(clock)
  const sessions = new VaultSessions({ api, clock, random: () => 0.5 })
  const acquire = (options: AcquireOptions = {}): SessionHandle => {
    const handle = sessions.acquire(OWNER, options)
    const token = new SecretBytes(Buffer.from('jwt'))
    handle.offer({ token, expiresAtMs: clock.now() + 24 * 60 * MINUTE_MS })
    return handle
  }
  const tokenOf = (handle: SessionHandle): Promise<string> =>
    handle.use(new AbortController().signal, ({ token }) => Promise.resolve(textOf(token)))
  return { clock, api, sessions, acquire, tokenOf }
}

async function doubted() {
  const on = world()
  const handle = on.acquire()
  await on.tokenOf(handle)
  handle.doubt(true)
  return { ...on, handle }
}

test('what the pod still sees lives on for hours, and ends once it sees what is newer', async (t) => {
  const { clock, api, handle, tokenOf } = await doubted()
  t.is(await tokenOf(handle), 'hvs.session-2')
  await clock.advance(180 * MINUTE_MS)
  t.deepEqual([...api.living.keys()], ['hvs.session-1', 'hvs.session-2'])
  t.is(api.logins.length, 2)
  handle.settle()
  await clock.advance(MINUTE_MS)
  t.deepEqual(api.revoked, ['hvs.session-1'])
  const renewals = api.renewals.filter((token) => token === 'hvs.session-1').length
  await clock.advance(60 * MINUTE_MS)
  t.is(api.renewals.filter((token) => token === 'hvs.session-1').length, renewals)
})

test('it lives through an outage that is shorter than what is left of it', async (t) => {
  const { clock, api } = await doubted()
  api.before = () => Promise.reject(away())
  await clock.advance(9 * MINUTE_MS)
  api.before = () => undefined
  await clock.advance(60 * MINUTE_MS)
  t.true((api.living.get('hvs.session-1')?.expiresAtMs ?? 0) > clock.now())
})

test('a session that is not shown is ended at once, and not kept', async (t) => {
  const { clock, api, acquire, tokenOf } = world()
  const handle = acquire()
  await tokenOf(handle)
  handle.doubt(false)
  await clock.advance(MINUTE_MS)
  t.deepEqual(api.revoked, ['hvs.session-1'])
  t.deepEqual(api.renewals, [])
})

test('a restarted daemon keeps alive what its bookmark says is shown', async (t) => {
  const { clock, api, handle, sessions } = await doubted()
  const tokens = handle.doubted()
  sessions.close()
  await clock.advance(5 * MINUTE_MS)
  const after = new VaultSessions({ api, clock, random: () => 0.5 })
  const again = after.acquire(OWNER, { doubted: tokens, isShown: true })
  await clock.advance(60 * MINUTE_MS)
  t.true((api.living.get('hvs.session-1')?.expiresAtMs ?? 0) > clock.now())
  t.is(await again.release(), 'ended')
  t.deepEqual(api.revoked, ['hvs.session-1'])
})

test('nothing is done any more for a volume that was dropped, nor after its end', async (t) => {
  for (const leave of ['drop', 'release'] as const) {
    const { clock, handle } = await doubted()
    void handle[leave]()
    await clock.advance(MINUTE_MS)
    t.is(clock.pending, 0, leave)
  }
})

test('one that may live no longer is left alone', async (t) => {
  const on = world()
  on.api.maxTtlMs = 15 * MINUTE_MS
  const handle = on.acquire()
  await on.tokenOf(handle)
  handle.doubt(true)
  await on.clock.advance(60 * MINUTE_MS)
  t.is(on.api.renewals.length, 1)
  t.is(on.clock.pending, 0)
})

const inferred = (): VaultError =>
  new VaultError('AccessDenied', 'permission denied', { trouble: 'dead-token', isInferred: true })

/** Calls that meet a refusal with every session. */
const refuse = (handle: SessionHandle, dead: () => VaultError): Promise<unknown> =>
  handle
    .use(new AbortController().signal, () => Promise.reject(dead()))
    .catch((thrown: unknown) => thrown)

test('a session that is only taken for ended is ended, one that has for certain is not', async (t) => {
  for (const [dead, revoked] of [
    [inferred, ['hvs.session-1', 'hvs.session-2']],
    [deadToken, []],
  ] as const) {
    const { api, clock, acquire } = world()
    const handle = acquire()
    await refuse(handle, dead)
    await clock.advance(1)
    t.deepEqual(api.revoked, revoked)
    t.is(api.logins.length, 2)
    t.is(await handle.release(), 'ended')
    t.is(clock.pending, 0)
  }
})

test('until such an end is heard a bookmark has it, and whoever lets go waits for it', async (t) => {
  const { api, clock, acquire } = world()
  const handle = acquire()
  api.before = (call) => (call === 'revoke' ? Promise.reject(away()) : undefined)
  await refuse(handle, inferred)
  t.deepEqual(handle.doubted().map(textOf), ['hvs.session-1', 'hvs.session-2'])
  const released = handle.release()
  await clock.advance(MINUTE_MS)
  api.before = () => undefined
  await clock.advance(MINUTE_MS)
  t.is(await released, 'ended')
  t.deepEqual(api.revoked.toSorted(), ['hvs.session-1', 'hvs.session-2'])
})

test('where such ends are never heard, few are tried at a time, and the last word says so', async (t) => {
  const { api, clock, acquire } = world()
  const handle = acquire()
  api.before = (call) => (call === 'revoke' ? Promise.reject(away()) : undefined)
  for (let count = 0; count < 10; count += 1) await refuse(handle, inferred)
  t.is(handle.doubted().length, 8)
  const released = handle.release()
  await clock.advance(11 * MINUTE_MS)
  t.is(await released, 'given-up')
  t.is(clock.pending, 0)
})

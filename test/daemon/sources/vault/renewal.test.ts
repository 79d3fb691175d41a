import test from 'ava'
import { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import { keepAlive } from '../../../../src/daemon/sources/vault/renewal.ts'
import { VaultSessions } from '../../../../src/daemon/sources/vault/sessions.ts'
import type { TokenState } from '../../../../src/daemon/sources/vault/vault-api.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { away, ScriptedApi } from './scripted-api.ts'

/* Servers that say odd things of a life. */

const MINUTE_MS = 60_000

/** How often it is renewed in a minute, and whether it is given up. */
async function keptFor(state: Omit<TokenState, 'renewable'>, durationMs: number) {
  const clock = new FakeClock()
  const api = new ScriptedApi(clock)
  let [renewals, isOver] = [0, false]
  api.lookupSelf = () => Promise.resolve({ ...state, renewable: true })
  api.renewSelf = () => {
    renewals += 1
    return Promise.resolve({ durationMs, renewable: true, requestId: '' })
  }
  const over = new AbortController()
  const session = { token: new SecretBytes(Buffer.from('hvs.kept')), role: 'web' }
  const parts = { api, clock, random: () => 0.5, onEvent: () => undefined }
  const kept = keepAlive(session, parts, over.signal).then(() => {
    isOver = true
  })
  await clock.advance(MINUTE_MS)
  const result = { renewals, isOver }
  over.abort()
  await kept
  return { ...result, pending: clock.pending }
}

test('a session without a life is not kept alive', async (t) => {
  t.deepEqual(await keptFor({ remainingMs: 0, lifeMs: 0 }, 0), {
    renewals: 0,
    isOver: true,
    pending: 0,
  })
})

test('a renewal that gives nothing is the last', async (t) => {
  const { renewals, isOver } = await keptFor({ remainingMs: 20_000, lifeMs: 20_000 }, 0)
  t.deepEqual({ renewals, isOver }, { renewals: 1, isOver: true })
})

test('a server that always says that a session is about to end is asked every five seconds', async (t) => {
  for (const remainingMs of [0, 1_000]) {
    const { renewals, isOver } = await keptFor({ remainingMs, lifeMs: 1_000 }, 1_000)
    t.deepEqual({ renewals, isOver }, { renewals: 12, isOver: false })
  }
})

test('while it cannot be looked at, a session is asked for every five seconds at most', async (t) => {
  const clock = new FakeClock()
  const api = new ScriptedApi(clock)
  let asked = 0
  api.before = () => {
    asked += 1
    return Promise.reject(away())
  }
  const over = new AbortController()
  const session = { token: new SecretBytes(Buffer.from('hvs.kept')), role: 'web' }
  const parts = { api, clock, random: () => 0.5, onEvent: () => undefined }
  const kept = keepAlive(session, parts, over.signal)
  await clock.advance(4_000)
  t.is(asked, 1)
  await clock.advance(2_000)
  t.is(asked, 2)
  over.abort()
  await kept
})

test('a session that lives for 10 ms is renewed once a second, one of 20 s at two thirds', async (t) => {
  for (const { ttlMs, atMost, atLeast } of [
    { ttlMs: 10, atMost: 60, atLeast: 10 },
    { ttlMs: 20_000, atMost: 5, atLeast: 4 },
  ]) {
    const clock = new FakeClock()
    const api = new ScriptedApi(clock)
    api.ttlMs = ttlMs
    const sessions = new VaultSessions({ api, clock, random: () => 0.5 })
    const handle = sessions.acquire({
      namespace: 'shop',
      serviceAccount: 'api',
      serviceAccountUid: 'u',
      role: 'web',
    })
    const token = new SecretBytes(Buffer.from('jwt'))
    handle.offer({ token, expiresAtMs: clock.now() + 10 * MINUTE_MS })
    await handle.use(new AbortController().signal, () => Promise.resolve())
    await clock.advance(MINUTE_MS)
    const calls = api.renewals.length + api.logins.length - 1
    t.true(calls >= atLeast && calls <= atMost, `${ttlMs}: ${calls}`)
    sessions.close()
  }
})

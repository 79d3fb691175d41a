import { setTimeout as delay } from 'node:timers/promises'
import test from 'ava'
import { systemClock, type Clock } from '../../../../src/core/clock.ts'
import type { LatchkeyError } from '../../../../src/core/errors.ts'
import type { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import { VaultSessions, type SessionHandle } from '../../../../src/daemon/sources/vault/sessions.ts'
import type { VaultSecret } from '../../../../src/daemon/sources/vault/read-answer.ts'
import type { VaultApi } from '../../../../src/daemon/sources/vault/vault-api.ts'
import { FakeClock } from '../../../support/fake-clock.ts'
import { signal, textsOf } from './contract-world.ts'
import { ROOMY, startDoubleWorld, type DoubleWorld } from './double-world.ts'

/* Sessions, calls and the double together, over the wire. */

const CREDS = { secret: 'database/creds/web' }

type StartDaemon = (api?: VaultApi, clock?: Clock) => ReturnType<typeof daemonOf>

async function withWorld(
  work: (world: DoubleWorld, daemon: StartDaemon) => Promise<void>,
): Promise<void> {
  const world = await startDoubleWorld()
  const started: VaultSessions[] = []
  try {
    await work(world, (api = world.api(), clock = systemClock) => {
      const daemon = daemonOf(world, api, clock)
      started.push(daemon.sessions)
      return daemon
    })
  } finally {
    for (const sessions of started) sessions.close()
    await world.close()
  }
}

function daemonOf(world: DoubleWorld, api: VaultApi, clock: Clock) {
  const sessions = new VaultSessions({ api, clock })
  const mount = (serviceAccount = 'api', pod = 'api-0', resume?: SecretBytes): SessionHandle => {
    const owner = { namespace: 'shop', serviceAccount, serviceAccountUid: 'uid', role: 'api' }
    const handle = sessions.acquire(owner, { resume })
    const token = world.jwt({ serviceAccount, pod })
    handle.offer({ token, expiresAtMs: Date.now() + 86_400_000 })
    return handle
  }
  const read = (handle: SessionHandle, ref = CREDS): Promise<VaultSecret> =>
    handle.use(signal(), (session) => api.read(session, ref, signal()))
  return { api, sessions, mount, read }
}

test('database users follow the volumes up and down', async (t) => {
  await withWorld(async (world, daemon) => {
    const { mount, read } = daemon()
    const handles = [...Array(12).keys()].map((index) => mount('api', `api-${index}`))
    await Promise.all(handles.map((handle) => read(handle)))
    t.is(world.database.users.size, 12)
    t.is(world.double.count('auth/jwt/login'), 1)
    await Promise.all(handles.map((handle) => handle.release()))
    t.is(world.database.users.size, 0)
    t.is(world.double.sessions.tokens.size, 0)
  })
})

test('a daemon that dies leaves its users to the next one, which makes no new ones', async (t) => {
  await withWorld(async (world, daemon) => {
    const before = daemon()
    const handle = before.mount()
    const { lease, entries } = await before.read(handle)
    if (lease === undefined) throw new Error('no lease')
    const bookmark = handle.bookmark()
    before.sessions.close()
    before.api.close()
    t.is(world.database.users.size, 1)

    const after = daemon()
    const resumed = after.mount('api', 'api-0', bookmark)
    const renewed = await resumed.use(signal(), (session) =>
      after.api.renewLease(session, lease.id, 60_000, signal()),
    )
    t.true(renewed.durationMs > 50_000)
    t.deepEqual([...world.database.users], [textsOf(entries)['username'] ?? ''])
    t.is(world.double.count('auth/jwt/login'), 1)
    t.is(await resumed.release(), 'ended')
    t.is(world.database.users.size, 0)
  })
})

test('a session that Vault ends between two reads costs one login and no error', async (t) => {
  await withWorld(async (world, daemon) => {
    const { mount, read } = daemon()
    world.kv2.put('shop/a', { a: '1' })
    const handles = [mount(), mount('api', 'api-1')]
    const ref = { secret: 'kv2/shop/a' }
    await Promise.all(handles.map((handle) => read(handle, ref)))
    for (const token of [...world.double.sessions.tokens.values()]) {
      world.double.sessions.endToken(token)
    }
    await Promise.all(handles.map((handle) => read(handle, ref)))
    t.is(world.double.count('auth/jwt/login'), 2)
  })
})

/** Lets time run, and the wire do its work in between, until it has settled. */
async function driven<T>(clock: FakeClock, work: Promise<T>): Promise<T> {
  let isSettled = false
  const end = (): void => {
    isSettled = true
  }
  work.then(end, end)
  while (!isOver()) {
    await delay(1)
    await clock.advance(50)
  }
  return work

  function isOver(): boolean {
    return isSettled
  }
}

test('a sealed Vault hears of few calls, and its return meets no more than the limits allow', async (t) => {
  await withWorld(async (world, daemon) => {
    const clock = new FakeClock(Date.now())
    const limits = { ...ROOMY, concurrent: 3, timeoutMs: 3_600_000 }
    const { mount, read } = daemon(world.api({ limits }, clock), clock)
    const role = world.double.roles.get('api')
    if (role === undefined) throw new Error('no role')
    world.double.roles.set('api', { ...role, serviceAccount: '*' })
    world.kv2.put('shop/a', { a: '1' })
    const handles = [...Array(60).keys()].map((index) => mount(`sa-${index % 20}`))
    const readAll = (): Promise<PromiseSettledResult<VaultSecret>[]> =>
      driven(
        clock,
        Promise.allSettled(handles.map((handle) => read(handle, { secret: 'kv2/shop/a' }))),
      )

    world.double.isSealed = true
    const reasons = (await readAll()).map((one) =>
      one.status === 'rejected' ? (one.reason as LatchkeyError).reason : 'none',
    )
    t.deepEqual(new Set(reasons), new Set(['SourceUnavailable']))
    // Those that were under way when it was found out, and the ones that tried after a pause.
    t.true(world.double.audit.length <= 8, `${world.double.audit.length}`)

    let running = 0
    let most = 0
    const runningAtFirst: number[] = []
    world.double.isSealed = false
    world.double.fault = (_request, response) => {
      running += 1
      most = Math.max(most, running)
      if (runningAtFirst.length < 1) runningAtFirst.push(running)
      response.once('close', () => {
        running -= 1
      })
      return undefined
    }
    let rounds = 0
    while (!(await readAll()).every(({ status }) => status === 'fulfilled')) {
      rounds += 1
      t.true(rounds < 500)
      await clock.advance(1_000)
    }
    t.deepEqual(runningAtFirst, [1])
    t.true(most <= 3, `${most}`)
    t.is(world.double.sessions.tokens.size, 20)
  })
})

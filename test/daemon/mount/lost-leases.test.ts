import test, { type ExecutionContext } from 'ava'
import { systemClock } from '../../../src/core/clock.ts'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { Limiter } from '../../../src/core/limiter.ts'
import { mount } from '../../../src/daemon/mount/mount.ts'
import { Sessions } from '../../../src/daemon/mount/sessions.ts'
import type { Stages } from '../../../src/daemon/mount/stages.ts'
import { readBookmark, writeBookmark } from '../../../src/daemon/refresh/bookmark.ts'
import { collect } from '../../../src/daemon/sources/collect.ts'
import { Fetcher } from '../../../src/daemon/sources/fetcher.ts'
import { VAULT_GRAMMAR } from '../../../src/daemon/sources/vault/grammar.ts'
import { VaultSessions } from '../../../src/daemon/sources/vault/sessions.ts'
import { createVaultSource } from '../../../src/daemon/sources/vault/vault-source.ts'
import type { ShimMessage__Output } from '../../../src/wire/gen/latchkey/mount/v1/ShimMessage.ts'
import { ScriptedShim } from '../../support/shim.ts'
import { until } from '../../support/until.ts'
import { startDoubleWorld, type DoubleWorld } from '../sources/vault/double-world.ts'
import { openMessage, World } from './mount-world.ts'

/*
 * A daemon that dies, or a connection that breaks, between what Vault does and what anybody hears of it. The Vault
 * is the double; its users are what is looked at.
 */
const CREDS = 'database/creds/web'
const USER = `{ from: vault-test, secret: ${CREDS}, key: username, path: user }`
const AUTH = { method: 'jwt', mount: 'jwt', audience: 'vault', role: 'api' } as const

type Ended = Promise<LatchkeyError | undefined>

interface Stream {
  readonly shim: ScriptedShim
  readonly ended: Ended
}

/** One life of a daemon at a Vault that outlives it. */
class Daemon {
  readonly #t: ExecutionContext
  readonly #vault: DoubleWorld
  readonly #world = new World()
  readonly #stages: Stages
  readonly #end: () => void

  constructor(t: ExecutionContext, vault: DoubleWorld) {
    this.#t = t
    this.#vault = vault
    const api = vault.api({ auth: AUTH })
    const sessions = new VaultSessions({ api, clock: systemClock })
    const source = createVaultSource({ api, sessions, clock: systemClock })
    const sources = new Map([[source.name, source]])
    const fetcher = new Fetcher({
      sources,
      clock: systemClock,
      timeoutMs: 10_000,
      slots: new Limiter('fetches', 4, 100),
      onFetch: () => undefined,
    })
    this.#stages = {
      ...this.#world.stages,
      clock: systemClock,
      sessions: new Sessions(systemClock, this.#world.budget),
      sources,
      grammars: new Map([[source.name, VAULT_GRAMMAR]]),
      collect: async (workload, items, fsGroup, signal, holdings) => {
        const through = holdings?.through(fetcher) ?? fetcher
        const contents = await collect(workload, items, fsGroup, through, signal)
        return { ...contents, dispose: () => undefined }
      },
    }
    this.#end = () => {
      this.#stages.sessions.close()
      sessions.close()
      api.close()
    }
    t.teardown(() => {
      this.#end()
    })
  }

  /** As kill -9 leaves the others: nothing more is said to anybody. */
  die(): void {
    this.#end()
  }

  begin(first: ShimMessage__Output): Stream {
    const shim = new ScriptedShim()
    shim.notes = true
    const ended = mount(shim, this.#stages).then(
      () => undefined,
      (thrown: unknown) => LatchkeyError.from(thrown),
    )
    shim.say(first)
    this.#t.teardown(() => {
      shim.hangUp()
    })
    return { shim, ended }
  }

  open(bookmark: Buffer = Buffer.alloc(0), ...items: readonly string[]): Stream {
    const list = items.length === 0 ? [USER] : items
    const token = this.#vault.jwt()
    const expiresAtMs = Date.now() + 600_000
    const message = openMessage({
      attributes: new Map([['items', `[${list.join(', ')}]`]]),
      tokens: [{ audience: 'vault', token, expiresAtMs }],
    })
    if (message.open) message.open.bookmark = bookmark
    return this.begin(message)
  }
}

async function start(t: ExecutionContext) {
  const vault = await startDoubleWorld()
  t.teardown(() => vault.close())
  return { vault, daemon: () => new Daemon(t, vault) }
}

/** The newest that the shim was left. */
function bookmarkOf({ shim }: Stream): Buffer {
  const left = shim.heard.flatMap(({ bookmark }) => bookmark ?? []).at(-1)
  return Buffer.from(left?.data ?? '')
}

async function shownBy({ shim }: Stream, generation = 1): Promise<string> {
  const { text } = await shim.generation(generation)
  return text.replace('user=', '')
}

function users({ database }: DoubleWorld): readonly string[] {
  return [...database.users]
}

/** Waits until these are all the users that there are. */
async function untilUsers(vault: DoubleWorld, ...wanted: readonly string[]): Promise<void> {
  const isSo = (): boolean => users(vault).toSorted().join() === wanted.toSorted().join()
  await until(isSo, { what: `the users to be ${wanted.join()}, not ${users(vault).join()}` })
}

/** As a daemon leaves it that dies when Vault has made a user and before it hears so. */
async function mintUnheard(vault: DoubleWorld, bookmark: Buffer): Promise<Buffer> {
  const read = readBookmark(bookmark)
  const own = read?.logins.find(({ isOwn, isDoubted }) => isOwn && !isDoubted)
  if (read === undefined || own === undefined) throw new Error('no session of its own')
  const session = { token: own.token, role: own.role }
  await vault.api().read(session, { secret: CREDS }, new AbortController().signal)
  return writeBookmark({ ...read, isAsking: true }).use((bytes) => Buffer.from(bytes))
}

test('a user that nobody heard of goes with the next daemon’s first commit', async (t) => {
  const { vault, daemon } = await start(t)
  const dying = daemon()
  // Vault makes the user; of the daemon nobody hears again.
  let bookmark: Buffer | undefined
  vault.double.losesAnswer = (path) => {
    if (path !== CREDS) return false
    bookmark = bookmarkOf(before)
    dying.die()
    return true
  }
  const before = dying.open()
  await until(() => bookmark !== undefined, { what: 'the user to be made' })
  vault.double.losesAnswer = () => false
  t.is(users(vault).length, 1)
  t.true(readBookmark(Buffer.from(bookmark ?? ''))?.isAsking)
  const after = daemon().open(bookmark)
  const user = await shownBy(after)
  after.shim.commit(1)
  await untilUsers(vault, user)
})

test('a volume that dies while it leases anew keeps its user until the pod sees the next one', async (t) => {
  const { vault, daemon } = await start(t)
  const dying = daemon()
  const before = dying.open()
  const first = await shownBy(before)
  before.shim.commit(1)
  dying.die()
  const bookmark = await mintUnheard(vault, bookmarkOf(before))
  t.is(users(vault).length, 2)
  const after = daemon().open(bookmark)
  const second = await shownBy(after)
  t.not(second, first)
  t.true(vault.database.users.has(first), 'the pod sees it still')
  after.shim.commit(1)
  await untilUsers(vault, second)
})

test('volumes of the same account keep their users meanwhile', async (t) => {
  const { vault, daemon } = await start(t)
  const dying = daemon()
  const [one, two] = [dying.open(), dying.open()]
  const [, ofTwo] = [await shownBy(one), await shownBy(two)]
  dying.die()
  const bookmark = await mintUnheard(vault, bookmarkOf(one))
  const after = daemon()
  const again = [after.open(bookmark), after.begin(withBookmark(vault, bookmarkOf(two)))] as const
  const [ofOne] = await Promise.all([shownBy(again[0]), shownBy(again[1])])
  t.is(await shownBy(again[1]), ofTwo)
  for (const { shim } of again) shim.commit(1)
  await untilUsers(vault, ofOne, ofTwo)
})

/** Another volume's Open. */
function withBookmark(vault: DoubleWorld, bookmark: Buffer): ShimMessage__Output {
  const expiresAtMs = Date.now() + 600_000
  const message = openMessage({
    volumeId: 'another',
    attributes: new Map([['items', `[${USER}]`]]),
    tokens: [{ audience: 'vault', token: vault.jwt(), expiresAtMs }],
  })
  if (message.open) message.open.bookmark = bookmark
  return message
}

test('killed again and again, before and after each word, it leaves the one user that is shown', async (t) => {
  const { vault, daemon } = await start(t)
  let bookmark: Buffer = Buffer.alloc(0)
  for (let round = 0; round < 6; round += 1) {
    const dying = daemon()
    const stream = dying.open(bookmark)
    await shownBy(stream)
    // Contents are out, nothing is committed: the session in doubt is not ended yet.
    dying.die()
    bookmark = await mintUnheard(vault, bookmarkOf(stream))
  }
  const last = daemon().open(bookmark)
  const user = await shownBy(last)
  last.shim.commit(1)
  await untilUsers(vault, user)
  last.shim.say({ unmounted: {} })
  t.is(await last.ended, undefined)
  t.deepEqual(users(vault), [])
  t.is(vault.double.sessions.tokens.size, 0)
})

test('a farewell ends what a daemon may have leased when it died', async (t) => {
  const { vault, daemon } = await start(t)
  const dying = daemon()
  const before = dying.open()
  await shownBy(before)
  dying.die()
  const bookmark = await mintUnheard(vault, bookmarkOf(before))
  t.is(users(vault).length, 2)
  const farewell = { volumeId: 'any', bookmark }
  t.is(await daemon().begin({ farewell }).ended, undefined)
  t.deepEqual(users(vault), [])
  t.is(vault.double.sessions.tokens.size, 0)
})

test('a bookmark without anything in doubt is gone on with, and nothing is made or ended', async (t) => {
  const { vault, daemon } = await start(t)
  const dying = daemon()
  const before = dying.open()
  const user = await shownBy(before)
  before.shim.commit(1)
  dying.die()
  const after = daemon().open(bookmarkOf(before))
  t.is(await shownBy(after), user)
  after.shim.commit(1)
  t.is(vault.double.count(CREDS), 1)
  t.is(vault.double.count('auth/token/revoke-self'), 0)
  t.deepEqual(users(vault), [user])
})

test('an answer that is lost on its way costs another user, and leaves none behind', async (t) => {
  const { vault, daemon } = await start(t)
  let lost = 0
  vault.double.losesAnswer = (path) => path === CREDS && ++lost === 1
  const living = daemon()
  const first = living.open()
  t.is((await first.ended)?.reason, 'SourceUnavailable')
  await untilUsers(vault)
  const second = living.open(bookmarkOf(first))
  const user = await shownBy(second)
  second.shim.commit(1)
  await untilUsers(vault, user)
  t.is(lost, 2)
})

test('a lost answer about a secret that is never leased leaves the users alone', async (t) => {
  const { vault, daemon } = await start(t)
  await vault.admin.putKv2('shop/app', { k: 'v' })
  const items = [USER, '{ from: vault-test, secret: kv2/shop/app, key: k, path: k }']
  const dying = daemon()
  const before = dying.open(Buffer.alloc(0), ...items)
  const { text } = await before.shim.generation(1)
  before.shim.commit(1)
  dying.die()
  const living = daemon()
  vault.double.losesAnswer = (path) => path === 'kv2/data/shop/app'
  const failing = living.open(bookmarkOf(before), ...items)
  t.is((await failing.ended)?.reason, 'SourceUnavailable')
  vault.double.losesAnswer = () => false
  const after = living.open(bookmarkOf(failing), ...items)
  t.is((await after.shim.generation(1)).text, text)
  after.shim.commit(1)
  t.is(vault.double.count(CREDS), 1)
  t.is(vault.double.count('auth/token/revoke-self'), 0)
})

test('a secret that fails beside a user who was made leaves none behind once the shim says farewell', async (t) => {
  const { vault, daemon } = await start(t)
  const denied = '{ from: vault-test, secret: kv2/other, key: k, path: k }'
  const living = daemon()
  const stream = living.open(Buffer.alloc(0), USER, denied)
  t.is((await stream.ended)?.reason, 'AccessDenied')
  const { volumeId } = openMessage().open ?? { volumeId: '' }
  const farewell = { volumeId, bookmark: bookmarkOf(stream) }
  t.is(await living.begin({ farewell }).ended, undefined)
  await untilUsers(vault)
  t.is(vault.double.sessions.tokens.size, 0)
})

test('a farewell to the first try takes what the second one does not have', async (t) => {
  const { vault, daemon } = await start(t)
  const dying = daemon()
  const first = dying.open()
  await shownBy(first)
  const bookmark = bookmarkOf(first)
  dying.die()
  const living = daemon()
  const second = living.open()
  const user = await shownBy(second)
  second.shim.commit(1)
  t.is(users(vault).length, 2)
  const { volumeId } = openMessage().open ?? { volumeId: '' }
  t.is(await living.begin({ farewell: { volumeId, bookmark } }).ended, undefined)
  await untilUsers(vault, user)
})

test('only what may come with a lease has a session of its own', async (t) => {
  const { vault, daemon } = await start(t)
  vault.kv2.put('shop/a', { user: 'u' })
  const stream = daemon().open(
    Buffer.alloc(0),
    '{ from: vault-test, secret: kv2/shop/a, key: user }',
  )
  await shownBy(stream)
  t.is(vault.double.sessions.tokens.size, 1)
  t.false(readBookmark(bookmarkOf(stream))?.logins.some(({ isOwn }) => isOwn))
})

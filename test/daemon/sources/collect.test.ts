import { setImmediate as turn } from 'node:timers/promises'
import test from 'ava'
import { contentsDigest } from '../../../src/core/contents-digest.ts'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { Limiter } from '../../../src/core/limiter.ts'
import { MAX_VOLUME_BYTES, MAX_VOLUME_FILES } from '../../../src/core/limits.ts'
import type { SecretBytes } from '../../../src/core/secret-bytes.ts'
import { collect } from '../../../src/daemon/sources/collect.ts'
import { Fetcher } from '../../../src/daemon/sources/fetcher.ts'
import type { Item } from '../../../src/daemon/sources/item.ts'
import { secretKeyOf } from '../../../src/daemon/sources/secret-key.ts'
import type { Source, Value } from '../../../src/daemon/sources/source.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { ScriptedSource } from './scripted-source.ts'
import { isZeroed, itemOf, textOf, valueOf } from './values.ts'
import { workloadOf } from './workloads.ts'

function worldOf(source: Source) {
  const clock = new FakeClock()
  const handedOut: SecretBytes[] = []
  const fetcher = new Fetcher({
    sources: new Map([[source.name, source]]),
    clock,
    timeoutMs: 10_000,
    slots: new Limiter('fetches', 8, 1_000),
    onFetch: () => undefined,
  })
  /** Remembers what it hands out: whoever asked has to wipe it. */
  const watched: Pick<Fetcher, 'fetch'> = {
    async fetch(...asked) {
      const value = await fetcher.fetch(...asked)
      handedOut.push(...value.entries.values())
      return value
    },
  }
  const leaving = new AbortController()
  return {
    clock,
    fetcher,
    handedOut,
    leaving,
    collect: (items: readonly Partial<Item>[], fsGroup?: number) =>
      collect(workloadOf(), items.map(itemOf), fsGroup, watched, leaving.signal),
  }
}

/** A source that has these secrets; what it lacks is not found, and an error is thrown. */
function sourceOf(secrets: Readonly<Record<string, () => Value>>) {
  const asked: string[] = []
  const source: Source = {
    name: 'kubernetes',
    audience: '',
    fetch(_workload, secret) {
      asked.push(secret)
      try {
        const value = secrets[secret]?.()
        if (value !== undefined) return Promise.resolve(value)
        return Promise.reject(new LatchkeyError('SecretNotFound', `no ${secret}`))
      } catch (thrown) {
        return Promise.reject(LatchkeyError.from(thrown))
      }
    },
  }
  return { source, asked }
}

const DB = () => valueOf({ username: 'shop', password: 'hunter2' }, { version: '7' })
const API = () => valueOf({ token: 'abc' }, { version: '8', immutable: true })

test('all secrets of a volume become one generation with digest, size and versions', async (t) => {
  const { source, asked } = sourceOf({ db: DB, api: API })
  const on = worldOf(source)
  const items = [{ key: 'password', path: 'pw' }, { key: 'username' }, { secret: 'api' }]
  const got = await on.collect(items, 2000)
  t.deepEqual(
    got.files.map(({ path, mode, data }) => [path, mode, textOf(data)]),
    [
      ['pw', 0o644, 'hunter2'],
      ['username', 0o644, 'shop'],
      ['token', 0o644, 'abc'],
    ],
  )
  t.deepEqual(got.digest, contentsDigest(got.files))
  t.is(got.bytes, 14)
  t.deepEqual(
    got.versions,
    new Map([
      [secretKeyOf(itemOf()), '7'],
      [secretKeyOf(itemOf({ secret: 'api' })), '8'],
    ]),
  )
  t.deepEqual([...got.immutable], [secretKeyOf(itemOf({ secret: 'api' }))])
  t.deepEqual(asked, ['db', 'api'], 'items of one secret share one fetch')
})

test('only the files keep their bytes, all else is wiped', async (t) => {
  const on = worldOf(sourceOf({ db: DB }).source)
  const { files } = await on.collect([{ key: 'password' }])
  t.is(on.handedOut.length, 2)
  t.true(on.handedOut.every(isZeroed))
  t.deepEqual(
    files.map(({ data }) => textOf(data)),
    ['hunter2'],
  )
})

for (const [what, items, reason] of [
  ['a missing secret', [{}, { secret: 'gone' }], 'SecretNotFound'],
  ['a missing key', [{}, { secret: 'api', key: 'gone' }], 'SecretNotFound'],
  [
    'a secret that one item insists on',
    [{}, { secret: 'gone', optional: true }, { secret: 'gone', key: 'k' }],
    'SecretNotFound',
  ],
  ['a denied secret, optional or not', [{}, { secret: 'denied', optional: true }], 'AccessDenied'],
  ['a collision', [{}, { secret: 'api', key: 'token', path: 'password' }], 'InvalidRequest'],
] as const) {
  test(`${what} fails the whole volume, and all that was fetched is wiped`, async (t) => {
    const { source } = sourceOf({
      db: DB,
      api: API,
      denied: () => {
        throw new LatchkeyError('AccessDenied', 'no')
      },
    })
    const on = worldOf(source)
    const error = await t.throwsAsync(on.collect(items), { instanceOf: LatchkeyError })
    t.is(error.reason, reason)
    if (reason === 'SecretNotFound') t.regex(error.message, /^no gone$|no key "gone"/)
    t.true(on.handedOut.length > 0)
    t.true(on.handedOut.every(isZeroed))
    t.is(on.clock.pending, 0)
    t.is(on.fetcher.size, 0)
  })
}

test('an optional secret that is not there is left out, and has no version', async (t) => {
  const on = worldOf(sourceOf({ db: DB }).source)
  const items = [
    {},
    { secret: 'gone', optional: true },
    { secret: 'gone', key: 'k', optional: true },
  ]
  const { files, versions } = await on.collect(items)
  t.is(files.length, 2)
  t.is(versions.size, 1)
})

test('the first failure gives up the other fetches', async (t) => {
  const source = new ScriptedSource()
  const on = worldOf(source)
  const collecting = on.collect([{}, { secret: 'slow' }])
  await turn()
  source.last('db').fail(new LatchkeyError('AccessDenied', 'no'))
  const error = await t.throwsAsync(collecting, { instanceOf: LatchkeyError })
  t.is(error.reason, 'AccessDenied')
  t.true(source.last('slow').signal.aborted)
})

test('a pod that leaves gives up all fetches, with its reason', async (t) => {
  const source = new ScriptedSource()
  const on = worldOf(source)
  const collecting = on.collect([{}, { secret: 'slow' }])
  await turn()
  source.last('db').answer(DB())
  await turn()
  on.leaving.abort(new LatchkeyError('ShuttingDown', 'the stream is over'))
  const error = await t.throwsAsync(collecting, { instanceOf: LatchkeyError })
  t.is(error.reason, 'ShuttingDown')
  t.true(on.handedOut.every(isZeroed))
  t.true(source.last('slow').signal.aborted)
})

test('a volume that grows too large stops fetching instead of filling the memory', async (t) => {
  const source = new ScriptedSource()
  const on = worldOf(source)
  const secrets = Array.from({ length: 8 }, (_, index) => ({ secret: `big-${index}` }))
  const collecting = on.collect(secrets)
  await turn()
  const half = () => valueOf({ blob: Buffer.alloc(MAX_VOLUME_BYTES / 2, 1) })
  for (const index of [0, 1, 2]) source.last(`big-${index}`).answer(half())
  const error = await t.throwsAsync(collecting, { instanceOf: LatchkeyError })
  t.is(error.reason, 'PayloadTooLarge')
  t.regex(error.message, /6291456 bytes or more, 4194304 are allowed/)
  t.true(source.last('big-7').signal.aborted)
  t.true(on.handedOut.every(isZeroed))
})

test('entries without a byte stop the fetching by their number', async (t) => {
  const source = new ScriptedSource()
  const on = worldOf(source)
  const secrets = Array.from({ length: 8 }, (_, index) => ({ secret: `many-${index}` }))
  const collecting = on.collect(secrets)
  await turn()
  const half = () => {
    const names = Array.from({ length: MAX_VOLUME_FILES / 2 }, (_, index) => [`k${index}`, ''])
    return valueOf(Object.fromEntries(names) as Record<string, string>)
  }
  for (const index of [0, 1, 2]) source.last(`many-${index}`).answer(half())
  const error = await t.throwsAsync(collecting, { instanceOf: LatchkeyError })
  t.is(error.reason, 'PayloadTooLarge')
  t.regex(error.message, /1536 files or more, 1024 are allowed/)
  t.true(source.last('many-7').signal.aborted)
})

test('crowded secrets of which little is wanted are fine', async (t) => {
  const names = Array.from({ length: MAX_VOLUME_FILES }, (_, index) => `k${index}`)
  const crowded = () => valueOf(Object.fromEntries(names.map((name) => [name, 'x'])))
  const on = worldOf(sourceOf({ a: crowded, b: crowded, c: crowded }).source)
  const items = ['a', 'b', 'c'].map((secret) => ({ secret, key: 'k7', path: secret }))
  t.is((await on.collect(items)).files.length, 3)
})

test('large secrets of which little is wanted are fine', async (t) => {
  const large = () => valueOf({ blob: Buffer.alloc(MAX_VOLUME_BYTES), small: 'x' })
  const on = worldOf(sourceOf({ a: large, b: large, c: large }).source)
  const items = ['a', 'b', 'c'].map((secret) => ({ secret, key: 'small', path: secret }))
  t.is((await on.collect(items)).bytes, 3)
})

import test from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { MAX_AUDIENCE_CHARS, MAX_TOKENS } from '../../src/core/limits.ts'
import { SecretBytes } from '../../src/core/secret-bytes.ts'
import type { ServiceToken } from '../../src/core/types.ts'
import { until } from '../support/until.ts'
import type { ScriptedStream } from '../support/scripted-daemon.ts'
import { volumeRequest } from '../support/volume-requests.ts'
import { BookmarkWorld } from './bookmark-world.ts'

const signal = new AbortController().signal

/** As kubelet brings them for every volume of a driver that names these three. */
function threeTokens(suffix: string): ServiceToken[] {
  return ['latchkey', '', 'vault'].map((audience) => ({
    audience,
    token: SecretBytes.copyOf(Buffer.from(`token of "${audience}" ${suffix}`)),
    expiresAtMs: Number.MAX_SAFE_INTEGER,
  }))
}

/** Audiences of tokens that the host side still has. */
function kept(tokens: readonly ServiceToken[]): string[] {
  const isWiped = ({ token }: ServiceToken): boolean =>
    token.use((bytes) => bytes.every((byte) => byte === 0))
  return tokens.filter((one) => !isWiped(one)).map(({ audience }) => audience)
}

function openedWith(stream: ScriptedStream): (string | undefined)[] {
  return (stream.heard[0]?.open?.tokens ?? []).map(({ audience }) => audience)
}

/** A volume of which the daemon has said that it needs no token for the API server. */
async function published(on: BookmarkWorld) {
  const tokens = threeTokens('first')
  const { publishing, stream } = await on.begin(volumeRequest({ tokens }))
  stream.contents(1, { password: 'one' }, ['latchkey', 'vault'])
  await publishing
  return { tokens, stream }
}

test('tokens that the daemon does not need are zeroed when the contents come, and not said again', async (t) => {
  const on = new BookmarkWorld(t)
  const { tokens, stream } = await published(on)
  t.deepEqual(openedWith(stream), ['latchkey', '', 'vault'])
  t.deepEqual(kept(tokens), ['latchkey', 'vault'])
  t.is(stream.heard.filter((message) => message.tokens != null).length, 0)
  stream.refuse('DaemonUnavailable', 'killed')
  t.deepEqual(openedWith(await on.reopened()), ['latchkey', 'vault'])
})

test('of newer tokens only those that are needed are kept and told', async (t) => {
  const on = new BookmarkWorld(t)
  const { tokens, stream } = await published(on)
  const newer = threeTokens('second')
  await on.volumes.publish(volumeRequest({ tokens: newer }), signal)
  t.deepEqual(kept(newer), ['latchkey', 'vault'])
  t.deepEqual(kept(tokens), [])
  const { tokens: told } = await stream.hears('tokens')
  t.deepEqual(
    told?.tokens?.map(({ audience }) => audience),
    ['latchkey', 'vault'],
  )
})

test('the same tokens again are nothing new, although kubelet brings more of them', async (t) => {
  const on = new BookmarkWorld(t)
  const { stream } = await published(on)
  const again = threeTokens('first')
  await on.volumes.publish(volumeRequest({ tokens: again }), signal)
  t.deepEqual(kept(again), [])
  t.is(stream.heard.filter((message) => message.tokens != null).length, 0)
})

test('a later daemon that needs another one gets it with kubelet’s next republish', async (t) => {
  const on = new BookmarkWorld(t)
  const { stream } = await published(on)
  stream.refuse('DaemonUnavailable', 'killed')
  const again = await on.reopened()
  again.refuse('TokenMissing', 'no token for audience ""')
  await until(() => on.volumes.count().connected === 0, { what: 'the host to notice' })
  const index = on.daemon.streams.length
  await on.volumes.publish(volumeRequest({ tokens: threeTokens('second') }), signal)
  t.deepEqual(openedWith(await on.daemon.stream(index)), ['latchkey', '', 'vault'])
})

test('a daemon that does not say what it needs is told all', async (t) => {
  const on = new BookmarkWorld(t)
  const tokens = threeTokens('first')
  const { publishing, stream } = await on.begin(volumeRequest({ tokens }))
  stream.contents(1, { password: 'one' })
  await publishing
  t.is(kept(tokens).length, 3)
  const newer = threeTokens('second')
  await on.volumes.publish(volumeRequest({ tokens: newer }), signal)
  t.is((await stream.hears('tokens')).tokens?.tokens?.length, 3)
})

test('after an adoption they are zeroed as soon as the session has been resumed', async (t) => {
  const on = new BookmarkWorld(t)
  const request = volumeRequest()
  on.store.create({ ...request, fsGroup: undefined }, [])
  on.volumes.adopt()
  const stream = await on.daemon.stream(0)
  stream.say({ resumed: { needed: { names: ['latchkey', 'vault'] } } })
  await until(() => on.volumes.keepers()[0]?.isConnected === true, { what: 'the stream to be up' })
  await on.clock.advance(0)
  const tokens = threeTokens('first')
  await on.volumes.publish(volumeRequest({ tokens }), signal)
  t.deepEqual(kept(tokens), ['latchkey', 'vault'])
})

/** Audiences of their own, so many. */
function audiences(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `audience-${index}`)
}

const LONGEST = 'x'.repeat(MAX_AUDIENCE_CHARS)

/** What no volume can need. */
const ENDLESS: readonly (readonly [what: string, names: readonly string[], message: string])[] = [
  [
    'more than kubelet brings',
    audiences(MAX_TOKENS + 1),
    'needed.names are more than 16 audiences',
  ],
  [
    'the same ones again and again',
    Array<string>(MAX_TOKENS + 1).fill('latchkey'),
    'needed.names are more than 16 audiences',
  ],
  [
    'a longer one than a configuration takes',
    ['latchkey', `${LONGEST}x`],
    'needed.names[1] is longer than 253 characters',
  ],
]

for (const [what, names, message] of ENDLESS) {
  test(`a daemon that needs tokens for ${what} is refused, and its stream ends`, async (t) => {
    const on = new BookmarkWorld(t)
    const tokens = threeTokens('first')
    const { publishing, stream } = await on.begin(volumeRequest({ tokens }))
    stream.contents(1, { password: 'one' }, names)
    const error = LatchkeyError.from(await t.throwsAsync(publishing))
    t.is(error.reason, 'InvalidRequest')
    t.is(error.message, message)
    t.is(on.volumes.count().connected, 0)
    t.is(stream.heard.filter(({ committed }) => committed != null).length, 0)
  })
}

test('where a volume is mounted such a daemon costs its own stream only, and what it sent is zeroed', async (t) => {
  const on = new BookmarkWorld(t)
  const { tokens, stream } = await published(on)
  const data = Buffer.from('two')
  const needed = { names: audiences(MAX_TOKENS + 1) }
  const file = { path: 'password', data, mode: 0o644, ownerUid: 0 }
  stream.say({ contents: { generation: 2, files: [file], digest: Buffer.alloc(32), needed } })
  await until(() => on.volumes.count().connected === 0, { what: 'the stream to end' })
  t.deepEqual(data, Buffer.alloc(3))
  t.deepEqual(kept(tokens), ['latchkey', 'vault'])
  t.is(on.store.read(volumeRequest().volumeId, 'password'), 'one')
  const again = await on.reopened()
  again.say({ resumed: { needed } })
  await until(() => on.volumes.count().connected === 0, { what: 'the next one to end' })
})

test('as many audiences as kubelet brings may be needed, and as long ones as a configuration takes', async (t) => {
  const on = new BookmarkWorld(t)
  const names = ['latchkey', ...audiences(MAX_TOKENS - 2), LONGEST]
  const tokens = threeTokens('first')
  const { publishing, stream } = await on.begin(volumeRequest({ tokens }))
  stream.contents(1, { password: 'one' }, names)
  await publishing
  t.deepEqual(kept(tokens), ['latchkey'])
})

import test, { type ExecutionContext } from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { ServiceToken } from '../../../src/core/types.ts'
import type { Workload } from '../../../src/daemon/identity/workload.ts'
import type { Stages } from '../../../src/daemon/mount/stages.ts'
import { ScriptedShim } from '../../support/shim.ts'
import { until } from '../../support/until.ts'
import { LeasingWorld } from './leasing-world.ts'
import { begin, openMessage, World } from './mount-world.ts'

/** As kubelet brings them for every volume of a driver that names these three. */
function threeTokens(suffix = ''): ServiceToken[] {
  return ['latchkey', '', 'vault'].map((audience) => ({
    audience,
    token: SecretBytes.copyOf(Buffer.from(`token of "${audience}"${suffix}`)),
    expiresAtMs: Number.MAX_SAFE_INTEGER,
  }))
}

function onWire(tokens: readonly ServiceToken[]) {
  return tokens.map(({ token, ...rest }) => ({
    ...rest,
    token: token.use((bytes) => Buffer.from(bytes)),
  }))
}

/** Audiences of tokens that the daemon still has. */
function kept(brought: readonly ServiceToken[]): string[] {
  const isWiped = ({ token }: ServiceToken): boolean =>
    token.use((bytes) => bytes.every((byte) => byte === 0))
  return brought.filter((one) => !isWiped(one)).map(({ audience }) => audience)
}

async function openedWithSecret(t: ExecutionContext) {
  const on = new World()
  const { shim } = begin(t, on, openMessage({ tokens: threeTokens() }))
  await shim.generation(1)
  return { on, shim }
}

async function openedWithVault(t: ExecutionContext) {
  const on = new LeasingWorld()
  const first = on.open()
  if (first.open) first.open.tokens = onWire(threeTokens())
  const { shim } = on.begin(t, first)
  await shim.generation(1)
  return { on, shim }
}

test('of a volume with a Secret of the cluster the tokens for Vaults are zeroed when it is opened', async (t) => {
  const { on } = await openedWithSecret(t)
  t.deepEqual(kept(on.brought), ['latchkey', ''])
})

test('of a volume without one the token for the API server is zeroed when it is opened', async (t) => {
  const { on } = await openedWithVault(t)
  t.false(kept(on.brought).includes(''))
  t.true(kept(on.brought).includes('latchkey'))
  t.true(kept(on.brought).includes(on.vault.audience))
})

test('newer tokens that the volume does not need are zeroed once they have been reviewed', async (t) => {
  const { on, shim } = await openedWithVault(t)
  shim.commit(1)
  shim.say({ tokens: { tokens: onWire(threeTokens(' again')) } })
  await until(() => on.brought.length === 6, { what: 'the newer tokens to be reviewed' })
  await until(() => !kept(on.brought.slice(3)).includes(''), { what: 'one of them to be zeroed' })
  t.deepEqual(kept(on.brought.slice(3)).sort(), ['latchkey', on.vault.audience].sort())
})

test('all of them are there for the review, and none is left of a request that it refuses', async (t) => {
  const on = new World()
  on.review = 'TokenRejected'
  const { ended } = begin(t, on, openMessage({ tokens: threeTokens() }))
  t.is((await ended)?.reason, 'TokenRejected')
  t.deepEqual(on.reviewed, ['token of "latchkey",token of "",token of "vault"'])
  t.deepEqual(kept(on.brought), [])
})

test('the host side is told which it need not keep, with the contents and when it resumes', async (t) => {
  const { on, shim } = await openedWithVault(t)
  const needed = ['latchkey', on.vault.audience]
  const contents = shim.heard.find((message) => message.contents != null)?.contents
  t.deepEqual(contents?.needed, { names: needed })
  shim.commit(1)
  await until(() => on.sessions.list()[0]?.session.hasCommitted === true, { what: 'the commit' })
  shim.hangUp()
  await until(() => on.sessions.count().detached === 1, { what: 'the session to be left' })
  const { volumeId, targetPath } = openMessage().open ?? { volumeId: '', targetPath: '' }
  const digest = Buffer.from(contents?.digest ?? '')
  const again = on.begin(t, { resume: { volumeId, targetPath, digest } }).shim
  await until(() => again.heard.length > 0, { what: 'the answer to Resume' })
  t.deepEqual(again.heard[0]?.resumed?.needed, { names: needed })
})

test('newer tokens that no session takes are zeroed, and the volume goes on with those it has', async (t) => {
  const on = new LeasingWorld()
  const hold = on.vault.hold.bind(on.vault)
  on.vault.hold = (...args) => ({
    ...hold(...args),
    offer: () => {
      throw new LatchkeyError('Internal', 'not taken')
    },
  })
  const asked: Workload[] = []
  const askForPod: Stages['askForPod'] = (workload) => {
    asked.push(workload)
    return Promise.resolve('POD_ALIVE')
  }
  const first = on.open()
  if (first.open) first.open.tokens = onWire(threeTokens())
  const shim = new ScriptedShim()
  shim.notes = true
  begin(t, { stages: { ...on.leasing, askForPod } }, first, shim)
  await shim.generation(1)
  shim.commit(1)
  shim.say({ tokens: { tokens: onWire(threeTokens(' again')) } })
  await until(() => on.brought.length === 6 && kept(on.brought.slice(3)).length === 0, {
    what: 'the newer tokens to be zeroed',
  })
  shim.say({ unattended: {} })
  await until(() => asked.length === 1, { what: 'the pod to be asked after' })
  const tokens = [...(asked[0]?.tokens.values() ?? [])]
  t.deepEqual(kept(tokens).sort(), ['latchkey', 'vault'])
})

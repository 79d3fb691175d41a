import * as http from 'node:http'
import test from 'ava'
import { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import { VaultError } from '../../../../src/daemon/sources/vault/vault-error.ts'
import { failureOf, signal } from './contract-world.ts'
import { startDoubleWorld } from './double-world.ts'
import { answer, errors, withSecret } from './faulty-world.ts'

const ROWS = [
  { status: 400, body: errors('bad path'), reason: 'InvalidRequest', says: 'bad path' },
  { status: 400, body: '<html>', reason: 'InvalidRequest', says: '(400)' },
  {
    status: 403,
    body: errors('1 error occurred:\n\t* permission denied\n\n'),
    reason: 'AccessDenied',
    says: 'role "api"',
  },
  {
    status: 403,
    body: errors('2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n'),
    reason: 'AccessDenied',
    says: 'permission denied; invalid token',
    trouble: 'dead-token',
  },
  { status: 404, body: errors(), reason: 'SecretNotFound', says: 'does not exist' },
  { status: 405, body: errors('unsupported operation'), reason: 'InvalidRequest', says: 'args' },
  { status: 413, body: errors('too large'), reason: 'InvalidRequest', says: '(413)' },
  { status: 418, body: errors(), reason: 'InvalidRequest', says: '(418)' },
  {
    status: 429,
    body: errors('rate limit quota exceeded'),
    headers: { 'retry-after': '7' },
    reason: 'SourceUnavailable',
    says: 'fewer calls',
    retryAfterMs: 7_000,
    wide: true,
  },
  { status: 412, body: errors(), reason: 'SourceUnavailable', says: 'caught up', wide: true },
  { status: 472, body: errors(), reason: 'SourceUnavailable', says: 'standby', wide: true },
  { status: 473, body: errors(), reason: 'SourceUnavailable', says: 'standby', wide: true },
  {
    status: 503,
    body: errors('Vault is sealed'),
    reason: 'SourceUnavailable',
    says: 'Vault is sealed',
    wide: true,
  },
  { status: 500, body: errors('no database'), reason: 'SourceUnavailable', says: 'no database' },
  { status: 502, body: '<html>bad gateway', reason: 'SourceUnavailable', says: 'failed (502)' },
  {
    status: 307,
    body: '',
    headers: { location: 'https://elsewhere.example/v1/kv2' },
    reason: 'SourceUnavailable',
    says: 'redirect (307), which is not followed',
    wide: true,
  },
  {
    status: 404,
    body: errors('namespace not found'),
    reason: 'AccessDenied',
    says: 'has ended the session',
    trouble: 'dead-token',
  },
  {
    status: 404,
    body: errors('1 error occurred:\n\t* namespace not found\n\n'),
    reason: 'AccessDenied',
    says: 'has ended the session',
    trouble: 'dead-token',
  },
  {
    status: 500,
    body: errors(
      '1 error occurred:\n\t* error performing token check: failed to look up namespace from the token: no namespace\n\n',
    ),
    reason: 'AccessDenied',
    says: 'has ended the session',
    trouble: 'dead-token',
  },
  {
    status: 403,
    body: errors('bad token'),
    reason: 'AccessDenied',
    says: 'bad token',
    trouble: 'dead-token',
  },
  // Words that a tenant chose for a path, which the server quotes.
  {
    status: 404,
    body: errors('no handler for route "namespace not found/x". route entry not found.'),
    reason: 'SecretNotFound',
    says: 'no engine is mounted',
  },
  {
    status: 404,
    body: errors('1 error occurred:\n\t* no "\n\t* namespace not found\n\t* "\n\n'),
    reason: 'SecretNotFound',
    says: 'does not exist',
  },
  {
    status: 403,
    body: errors('no right to "invalid token/x"'),
    reason: 'AccessDenied',
    says: 'a policy of its role needs',
  },
  {
    status: 403,
    body: errors(
      '2 errors occurred:\n\t* permission denied\n\t* no right to "x\n\t* invalid token"\n\n',
    ),
    reason: 'AccessDenied',
    says: 'a policy of its role needs',
  },
  {
    status: 500,
    body: errors('cannot read "failed to look up namespace from the token: no namespace"'),
    reason: 'SourceUnavailable',
    says: 'failed (500)',
  },
  { status: 200, body: '<html>', reason: 'SourceUnavailable', says: 'no JSON that a Vault' },
  { status: 200, body: '[]', reason: 'SecretNotFound', says: 'nothing to deliver' },
  { status: 200, body: '{"data":null}', reason: 'SecretNotFound', says: 'nothing to deliver' },
  { status: 200, body: '', reason: 'SecretNotFound', says: 'nothing to deliver' },
  { status: 204, body: '', reason: 'SecretNotFound', says: 'nothing to deliver' },
] as const

for (const row of ROWS) {
  test(`an answer ${row.status} ${row.body.slice(0, 60)} is ${row.reason}, "${row.says}"`, async (t) => {
    await withSecret(async (world, read) => {
      await read()
      const refuse = answer(row.status, row.body, 'headers' in row ? row.headers : {})
      // Whether the session lives is another question.
      world.double.fault = (request, response) =>
        request.url === '/v1/auth/token/lookup-self' ? undefined : refuse(request, response)
      const error = await failureOf(read())
      t.is(error.reason, row.reason)
      t.true(error.message.includes(row.says), error.message)
      t.notRegex(error.message, /\n|\t/)
      const wide = error instanceof VaultError && error.isSourceWide
      t.is(wide, 'wide' in row)
      const { trouble, retryAfterMs } = error as Partial<VaultError>
      t.is(trouble, 'trouble' in row ? row.trouble : undefined)
      t.is(retryAfterMs, 'retryAfterMs' in row ? row.retryAfterMs : undefined)
    })
  })
}

test('a redirect is not followed, whoever is named in it', async (t) => {
  await withSecret(async (world, read) => {
    let visits = 0
    const elsewhere = http.createServer((_request, response) => {
      visits += 1
      response.end('{}')
    })
    await new Promise<void>((resolve) => elsewhere.listen(0, '127.0.0.1', resolve))
    const target = elsewhere.address()
    const port = typeof target === 'object' ? (target?.port ?? 0) : 0
    world.double.fault = answer(302, '', { location: `http://127.0.0.1:${port}/` })
    t.is((await failureOf(read())).reason, 'SourceUnavailable')
    t.is(visits, 0)
    elsewhere.close()
  })
})

test('a date in Retry-After is understood', async (t) => {
  await withSecret(async (world, read) => {
    await read()
    const date = new Date(Date.now() + 60_000).toUTCString()
    world.double.fault = answer(503, errors(), { 'retry-after': date })
    const error = (await failureOf(read())) as Partial<VaultError>
    t.true((error.retryAfterMs ?? 0) > 50_000 && (error.retryAfterMs ?? 0) <= 60_000)
    for (const odd of ['soon', '-5', '1e99']) {
      await withSecret(async (other, readOther) => {
        await readOther()
        other.double.fault = answer(503, errors(), { 'retry-after': odd })
        t.is(((await failureOf(readOther())) as Partial<VaultError>).retryAfterMs, undefined)
      })
    }
  })
})

test('no token, secret or lease shows in an error or a report, however Vault quotes them', async (t) => {
  const world = await startDoubleWorld()
  try {
    const api = world.api()
    const jwt = world.jwt()
    const { token } = await api.login(jwt, 'api', signal())
    const session = { token, role: 'api' }
    const lease = new SecretBytes(Buffer.from('database/creds/web/lease-canary'))
    const canaries = [jwt, token, lease].map((one) => one.use((bytes) => bytes.toString()))
    const shown: string[] = []
    for (const status of [400, 403, 404, 405, 429, 500, 503]) {
      // Each with an API of its own: a closed gate would answer for Vault.
      const own = world.api()
      const quote = (...quoted: (string | undefined)[]): void => {
        world.double.fault = answer(status, errors(`what is ${quoted.join(' and ')}?`))
      }
      for (const [call, ...quoted] of [
        [() => own.login(jwt, 'api', signal()), jwt, token],
        [() => world.api().read(session, { secret: 'kv2/shop/a' }, signal()), jwt, token],
        [() => world.api().renewLease(session, lease, 1_000, signal()), jwt, token, lease],
        [() => world.api().revokeLease(session, lease, signal()), jwt, token, lease],
        [() => world.api().renewSelf(session, 1_000, signal()), jwt, token],
        [() => world.api().lookupSelf(session, signal()), jwt, token],
        [() => world.api().revokeSelf(session, signal()), jwt, token],
      ] as const) {
        quote(...quoted.map((one) => one.use((bytes) => bytes.toString())))
        const error = await failureOf(call())
        shown.push(`${error.message} ${String(error.stack)} ${JSON.stringify(error)}`)
      }
    }
    shown.push(JSON.stringify(world.calls))
    t.true(shown.length > 30)
    for (const text of shown) for (const canary of canaries) t.false(text.includes(canary), text)
    const { inspect } = await import('node:util')
    const inside = inspect([api, session], { depth: 12, showHidden: true })
    t.false(canaries.some((canary) => inside.includes(canary)))
  } finally {
    await world.close()
  }
})

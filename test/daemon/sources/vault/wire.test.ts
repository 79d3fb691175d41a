import * as http from 'node:http'
import { gzipSync } from 'node:zlib'
import test from 'ava'
import { LatchkeyError, type Reason } from '../../../../src/core/errors.ts'
import { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import type { FinishedCall } from '../../../../src/daemon/sources/vault/caller.ts'
import type { VaultSettings } from '../../../../src/daemon/sources/vault/settings.ts'
import { createVaultApi } from '../../../../src/daemon/sources/vault/vault-api.ts'
import { VaultError } from '../../../../src/daemon/sources/vault/vault-error.ts'
import { systemClock } from '../../../../src/core/clock.ts'
import { createAuthority } from '../../../../src/minicluster/pki.ts'
import { failureOf, logIn, signal, textsOf } from './contract.ts'
import { ROOMY, settingsFor, startDoubleWorld, type DoubleWorld } from './double-world.ts'
import { VaultDouble, type Fault } from './vault-double.ts'

const CANARY = 'canary-5d1c77'

/** Runs with a double in which a secret lies, and a session that may read it. */
async function withSecret(
  work: (world: DoubleWorld, read: () => Promise<unknown>) => Promise<void>,
  changes: Partial<VaultSettings> = {},
): Promise<void> {
  const world = await startDoubleWorld()
  try {
    world.kv2.put('shop/a', { password: CANARY })
    const api = world.api(changes)
    const session = await logIn(world, api)
    await work(world, () => api.read(session, { secret: 'kv2/shop/a' }, signal()))
  } finally {
    await world.close()
  }
}

const answer =
  (status: number, body: string | Buffer, headers: http.OutgoingHttpHeaders = {}): Fault =>
  (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(body)
    return true
  }
const errors = (...list: string[]): string => JSON.stringify({ errors: list })

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
      world.double.fault = answer(row.status, row.body, 'headers' in row ? row.headers : {})
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

test('a body larger than the limit is refused before it has been read to its end', async (t) => {
  const limits = { ...ROOMY, maxBytes: 64 * 1024 }
  await withSecret(
    async (world, read) => {
      await read()
      let sentBytes = 0
      world.double.fault = (_request, response) => {
        const piece = Buffer.alloc(16 * 1024, 'x')
        const pour = (): void => {
          while (!response.destroyed && sentBytes < 512 * 1024 * 1024) {
            sentBytes += piece.length
            if (!response.write(piece)) {
              response.once('drain', pour)
              return
            }
          }
        }
        response.writeHead(200)
        pour()
        return true
      }
      const error = await failureOf(read())
      t.is(error.reason, 'PayloadTooLarge')
      t.true(error.message.includes('limits.maxBytes'), error.message)
      t.true(sentBytes < 32 * 1024 * 1024, `${sentBytes}`)
    },
    { limits },
  )
})

test('a refusal as long as it likes is a refusal still', async (t) => {
  await withSecret(async (world, read) => {
    await read()
    world.double.fault = answer(403, errors('x'.repeat(1_000_000)))
    const error = await failureOf(read())
    t.is(error.reason, 'AccessDenied')
    t.true(error.message.length < 1_000)
  })
})

test('an answer that does not come, or does not go on, ends with the time of the call', async (t) => {
  const stalls: Fault[] = [
    () => true,
    (_request, response) => {
      response.writeHead(200)
      response.write('{"data":')
      return true
    },
  ]
  for (const stall of stalls) {
    await withSecret(async (world) => {
      const session = await logIn(world, world.api())
      // Short, but for this call alone.
      const hasty = world.api({ limits: { ...ROOMY, timeoutMs: 300 } })
      world.double.fault = stall
      const read = hasty.read(session, { secret: 'kv2/shop/a' }, signal())
      {
        const error = await failureOf(read)
        t.is(error.reason, 'Timeout')
        t.is(error.message, 'the mounts call to Vault "vault-test" took longer than 0.3 s')
      }
    })
  }
})

test("the caller's signal ends a call at once", async (t) => {
  const world = await startDoubleWorld()
  try {
    const api = world.api()
    const jwt = world.jwt()
    const gone = new AbortController()
    world.double.fault = () => {
      gone.abort(new LatchkeyError('ShuttingDown', 'the pod has gone'))
      return true
    }
    const error = await failureOf(api.login(jwt, 'api', gone.signal))
    t.is(error.reason, 'ShuttingDown')
  } finally {
    await world.close()
  }
})

test('an answer that breaks off is trouble with the connection, not a short secret', async (t) => {
  await withSecret(async (world, read) => {
    await read()
    world.double.fault = (_request, response) => {
      response.writeHead(200, { 'content-length': 500 })
      response.write('{"data":{"data":{"a":"b"}}}')
      setImmediate(() => response.destroy())
      return true
    }
    const error = await failureOf(read())
    t.is(error.reason, 'SourceUnavailable')
    t.regex(error.message, /^no connection to Vault "vault-test" \([A-Z_]+\)$/)
  })
})

test('a compressed answer is refused, and none is asked for', async (t) => {
  await withSecret(async (world, read) => {
    await read()
    const accepted: unknown[] = []
    world.double.fault = (request, response) => {
      accepted.push(request.headers['accept-encoding'])
      const bomb = gzipSync(Buffer.alloc(10_000_000))
      return answer(200, bomb, { 'content-encoding': 'gzip' })(request, response)
    }
    const error = await failureOf(read())
    t.is(error.reason, 'SourceUnavailable')
    t.true(error.message.includes('compressed'), error.message)
    t.deepEqual(accepted, [undefined])
  })
})

const HOSTILE: readonly [string, string, Reason][] = [
  [
    'names that come twice',
    '{"data":{"data":{"a":"1","a":"2"},"metadata":{"version":1}}}',
    'SourceUnavailable',
  ],
  ['members that come twice', '{"data":{"a":"1"},"data":{"a":"2"}}', 'SourceUnavailable'],
  ['a value of another type', '{"data":{"data":[1,2],"metadata":{"version":1}}}', 'SecretNotFound'],
  ['data that is a text', '{"data":"a"}', 'SecretNotFound'],
  ['a secret without a version', '{"data":{"data":{"a":"1"}}}', 'SourceUnavailable'],
  ['a NUL between', '{"data":{"data":{"a":"1"}}}\0', 'SourceUnavailable'],
  ['two answers', '{"data":{"data":{"a":"1"}}}{}', 'SourceUnavailable'],
  ['brackets without end', '['.repeat(200_000), 'SourceUnavailable'],
  [
    'a number of a thousand digits for a version',
    `{"lease_duration":${'9'.repeat(999)}}`,
    'SecretNotFound',
  ],
]

for (const [what, body, reason] of HOSTILE) {
  test(`an answer with ${what} is ${reason}`, async (t) => {
    await withSecret(async (world, read) => {
      await read()
      world.double.fault = answer(200, body)
      t.is((await failureOf(read())).reason, reason)
    })
  })
}

test('fields with names that mean something to JavaScript, and values with NUL, are delivered', async (t) => {
  const world = await startDoubleWorld()
  try {
    const api = world.api()
    const session = await logIn(world, api)
    world.double.fault = (request, response) =>
      request.url?.includes('/internal/') === true
        ? undefined
        : answer(
            200,
            '{"data":{"data":{"__proto__":"p","constructor":"c","nul":"a\\u0000b"},"metadata":{"version":1}}}',
          )(request, response)
    const { entries } = await api.read(session, { secret: 'kv2/shop/a' }, signal())
    t.deepEqual([...entries.keys()], ['__proto__', 'constructor', 'nul'])
    t.is(
      entries.get('nul')?.use((bytes) => bytes.toString('hex')),
      '610062',
    )
    t.is(({} as Record<string, unknown>)['constructor'], Object)
  } finally {
    await world.close()
  }
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

test('every call says what it is, and carries an id of its own', async (t) => {
  await withSecret(
    async (world, read) => {
      await read()
      const [login, mounts, first] = world.double.audit
      t.deepEqual(
        world.calls.map(({ operation, status }) => [operation, status]),
        [
          ['login', 200],
          ['mounts', 200],
          ['read', 200],
        ],
      )
      for (const one of [login, mounts, first]) {
        t.true(one?.isFlagged)
        t.is(one?.namespace, 'team-a/shop')
      }
      const sent = world.double.audit.map(({ callId }) => callId)
      t.is(new Set(sent).size, 3)
      t.deepEqual(
        world.calls.map(({ callId }) => callId),
        sent.map((id) => id ?? 'none'),
      )
      t.deepEqual(
        world.calls.map(({ requestId }) => requestId),
        world.double.audit.map(({ requestId }) => requestId),
      )
    },
    { namespace: 'team-a/shop' },
  )
})

test('a failed call is reported with its reason', async (t) => {
  await withSecret(async (world, read) => {
    world.double.isSealed = true
    await failureOf(read())
    const { operation, status, reason, source } = world.calls.at(-1) ?? ({} as FinishedCall)
    t.deepEqual(
      { operation, status, reason, source },
      { operation: 'mounts', status: 503, reason: 'SourceUnavailable', source: 'vault-test' },
    )
  })
})

test('an engine is asked for once, however many secrets are read from it at the same time', async (t) => {
  const world = await startDoubleWorld()
  try {
    const api = world.api()
    const session = await logIn(world, api)
    const names = [...Array(20).keys()].map((index) => `shop/${index}`)
    for (const name of names) world.kv2.put(name, { a: name })
    await Promise.all(names.map((name) => api.read(session, { secret: `kv2/${name}` }, signal())))
    const asked = world.double.audit.filter(({ path }) => path.startsWith('sys/internal/'))
    t.is(asked.length, 1)
    const other = await logIn(world, api)
    await api.read(other, { secret: 'kv2/shop/1' }, signal())
    t.is(world.calls.filter(({ operation }) => operation === 'mounts').length, 2)
  } finally {
    await world.close()
  }
})

test('an engine that is given versions under way is found out with the first miss', async (t) => {
  const world = await startDoubleWorld()
  try {
    const api = world.api()
    const session = await logIn(world, api)
    await world.admin.putKv1('shop/a', { a: '1' })
    await api.read(session, { secret: 'kv1/shop/a' }, signal())
    world.double.engines.set('kv1/', world.kv2)
    world.double.sessions.policies.set('api', { 'kv1/*': ['read'] })
    world.kv2.put('shop/a', { a: '2' })
    t.is(
      (await failureOf(api.read(session, { secret: 'kv1/shop/a' }, signal()))).reason,
      'SecretNotFound',
    )
    const { entries } = await api.read(session, { secret: 'kv1/shop/a' }, signal())
    t.deepEqual(textsOf(entries), { a: '2' })
  } finally {
    await world.close()
  }
})

test('connections are kept, up to the limit', async (t) => {
  const world = await startDoubleWorld()
  try {
    const sockets = new Set<unknown>()
    world.double.fault = (request) => {
      sockets.add(request.socket)
      return undefined
    }
    const api = world.api({ limits: { ...ROOMY, concurrent: 2 } })
    const session = await logIn(world, api)
    world.kv2.put('shop/a', { a: '1' })
    const reads = (): Promise<unknown>[] =>
      [...Array(20).keys()].map(() => api.read(session, { secret: 'kv2/shop/a' }, signal()))
    await Promise.all(reads())
    await Promise.all(reads())
    t.is(sockets.size, 2)
  } finally {
    await world.close()
  }
})

test('a kept connection that the other side has closed costs a try, no error', async (t) => {
  await withSecret(async (world, read) => {
    await read()
    let broken = 0
    world.double.fault = (request) => {
      if (broken > 0) return undefined
      broken += 1
      request.socket.destroy()
      return true
    }
    await t.notThrowsAsync(read())
    t.is(broken, 1)
  })
})

test('what makes a user or a certificate is never asked for twice', async (t) => {
  const world = await startDoubleWorld()
  try {
    const api = world.api()
    const session = await logIn(world, api)
    const ref = { secret: 'database/creds/web' }
    await api.read(session, ref, signal())
    t.is(world.database.users.size, 1)
    let asked = 0
    world.double.fault = (request) => {
      asked += 1
      request.socket.destroy()
      return true
    }
    t.is((await failureOf(api.read(session, ref, signal()))).reason, 'SourceUnavailable')
    t.is(asked, 1)
  } finally {
    await world.close()
  }
})

test('a database user lives as long as its lease, and ends with its session', async (t) => {
  const world = await startDoubleWorld()
  try {
    const api = world.api()
    const [one, two] = [await logIn(world, api), await logIn(world, api)]
    const first = await api.read(one, { secret: 'database/creds/web' }, signal())
    const second = await api.read(two, { secret: 'database/creds/web' }, signal())
    t.is(world.database.users.size, 2)
    t.not(first.version, second.version)
    const renewed = await api.renewLease(one, first.lease?.id ?? one.token, 3_600_000, signal())
    t.true(renewed.durationMs <= 90_000 && renewed.durationMs > 80_000)
    await api.revokeSelf(one, signal())
    t.deepEqual([...world.database.users], [textsOf(second.entries)['username']])
  } finally {
    await world.close()
  }
})

test('over TLS the authority and the name in the certificate are held against the settings', async (t) => {
  const authority = await createAuthority('test')
  const tls = await authority.issueServer(['vault.shop'])
  const double = await VaultDouble.start({ clock: systemClock, checkJwt: () => undefined, tls })
  const jwt = new SecretBytes(Buffer.from('jwt'))
  const hear = async (changes: Partial<VaultSettings>): Promise<string> => {
    const settings = settingsFor(double.address, changes)
    const api = createVaultApi({ ...settings, clock: systemClock })
    const { message } = await failureOf(api.login(jwt, 'api', signal()))
    api.close()
    return message
  }
  try {
    const ca = authority.certPem
    t.true((await hear({ ca, serverName: 'vault.shop' })).includes('no role "api"'))
    t.true((await hear({ ca })).includes('set serverName'))
    t.true((await hear({ serverName: 'vault.shop' })).includes('caFile'))
    const other = (await createAuthority('other')).certPem
    t.true((await hear({ ca: other, serverName: 'vault.shop' })).includes('caFile'))
    t.is(double.audit.length, 1)
  } finally {
    await double.close()
  }
})

test('nobody at home is SourceUnavailable, with the code', async (t) => {
  const api = createVaultApi({ ...settingsFor('http://127.0.0.1:1'), clock: systemClock })
  const error = await failureOf(api.login(new SecretBytes(Buffer.from('jwt')), 'api', signal()))
  t.is(error.reason, 'SourceUnavailable')
  t.is(error.message, 'no connection to Vault "vault-test" (ECONNREFUSED)')
  t.is(error.cause, undefined)
})

import { gzipSync } from 'node:zlib'
import test from 'ava'
import { LatchkeyError, type Reason } from '../../../../src/core/errors.ts'
import { failureOf, logIn, signal } from './contract-world.ts'
import { ROOMY, startDoubleWorld } from './double-world.ts'
import { answer, errors, withSecret } from './faulty-world.ts'
import { type Fault } from './vault-double.ts'

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

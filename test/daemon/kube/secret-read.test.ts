import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import {
  PROTOBUF,
  emptySecretBytes,
  kindlessBytes,
  secretBytes,
  statusBytes,
  statusJson,
} from './kubernetes-bytes.ts'
import {
  DAEMON_TOKEN,
  DB,
  POD_TOKEN,
  assertFails,
  clientOf,
  makeWorld,
  never,
  podToken,
  secretOf,
  serve,
} from './kube-world.ts'

const JSON_TYPE = 'application/json'

test("a Secret is read with the pod's token, its values as bytes", async (t) => {
  const data = {
    password: Buffer.from('s3cr3t\n'),
    binary: Buffer.from([0, 255, 128, 10]),
    empty: Buffer.alloc(0),
    '.dotted.key': Buffer.from('x'),
  }
  const { client, server } = await serve(t, (_call, answer) => {
    answer.send(200, PROTOBUF, secretBytes({ data, annotation: 'not of interest' }))
  })
  const secret = await client.readSecret(DB, podToken(), never())
  t.is(secret.resourceVersion, '216')
  t.false(secret.immutable)
  t.deepEqual([...secret.data.keys()].sort(), Object.keys(data).sort())
  for (const [key, value] of Object.entries(data)) {
    t.true(
      secret.data.get(key)?.use((bytes) => bytes.equals(value)),
      key,
    )
  }
  const [call] = server.calls
  t.is(call?.method, 'GET')
  t.is(call?.url.pathname, '/api/v1/namespaces/shop/secrets/db')
  t.is(call?.headers['authorization'], `Bearer ${POD_TOKEN}`)
  t.is(call?.headers['accept'], PROTOBUF)
  t.is(call?.headers['accept-encoding'], undefined)
})

test('an immutable Secret says so, and one without data is empty', async (t) => {
  const { client } = await serve(t, (_call, answer) => {
    answer.send(200, PROTOBUF, secretBytes({ immutable: true }))
  })
  const secret = await client.readSecret(DB, podToken(), never())
  t.true(secret.immutable)
  t.is(secret.data.size, 0)
})

test('a Secret of 1 MiB comes whole, and each value may be wiped without harm to the next', async (t) => {
  const data = { first: Buffer.alloc(512 * 1024, 'a'), second: Buffer.alloc(512 * 1024, 'b') }
  const { client } = await serve(t, (_call, answer) => {
    answer.send(200, PROTOBUF, secretBytes({ data }))
  })
  const secret = await client.readSecret(DB, podToken(), never())
  secret.data.get('first')?.wipe()
  t.true(secret.data.get('second')?.use((bytes) => bytes.equals(data.second)))
})

test('a Secret of more entries than anybody can use is refused, with what to do', async (t) => {
  const dataOf = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, Buffer.alloc(0)]))
  let count = 4_096
  const { client } = await serve(t, (_call, answer) => {
    answer.send(200, PROTOBUF, secretBytes({ data: dataOf(count) }))
  })
  const secret = await client.readSecret(DB, podToken(), never())
  t.is(secret.data.size, 4_096)
  for (count of [4_097, 10_000]) {
    const why = `^Secret "db" has ${count} entries, 4096 are allowed: split it into several Secrets$`
    const read = client.readSecret(DB, podToken(), never())
    await assertFails(t, read, 'PayloadTooLarge', new RegExp(why))
  }
})

test('names that are no names are refused before anything is sent', async (t) => {
  const { client, server } = await serve(t, () => undefined)
  for (const name of [
    '',
    '..',
    'a/b',
    'a%2fb',
    'a?b',
    'A',
    'a b',
    'a\n',
    '.a',
    'a.',
    'a'.repeat(254),
  ]) {
    await assertFails(
      t,
      client.readSecret({ ...DB, name }, podToken(), never()),
      'InvalidRequest',
      /^secret:/,
    )
  }
  for (const namespace of ['', '..', 'a/b', 'a.b', 'a#b', 'a'.repeat(64)]) {
    const read = client.readSecret({ ...DB, namespace }, podToken(), never())
    await assertFails(t, read, 'InvalidRequest', /^namespace:/)
  }
  t.deepEqual(server.calls, [])
})

test('a token that cannot be one is refused before anything is sent', async (t) => {
  const { client, server } = await serve(t, () => undefined)
  for (const token of ['', `${POD_TOKEN}\r\nx-evil: 1`, `${POD_TOKEN} x`, `${POD_TOKEN}\u00e9`]) {
    const read = client.readSecret(DB, secretOf(token), never())
    await assertFails(t, read, 'TokenRejected', /characters that no token has/)
  }
  t.deepEqual(server.calls, [])
})

const FORBIDDEN =
  'secrets "db" is forbidden: User "system:serviceaccount:shop:api" cannot get resource "secrets" in API group "" in the namespace "shop"'

test("403 is AccessDenied in the API server's words, be they protobuf or JSON", async (t) => {
  for (const [contentType, body] of [
    [PROTOBUF, statusBytes(FORBIDDEN, 403)],
    [JSON_TYPE, statusJson(FORBIDDEN, 403)],
  ] as const) {
    const { client } = await serve(t, (_call, answer) => {
      answer.send(403, contentType, body)
    })
    const error = await assertFails(
      t,
      client.readSecret(DB, podToken(), never()),
      'AccessDenied',
      /./,
    )
    t.is(error.message, FORBIDDEN)
  }
})

test('words of an API server reach the user on one line, shortened and without tokens', async (t) => {
  const message = `no\n\n  way ${POD_TOKEN} \u001b[31m eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln ${'x'.repeat(2000)}`
  const { client } = await serve(t, (_call, answer) => {
    answer.send(403, PROTOBUF, statusBytes(message, 403))
  })
  const error = await assertFails(
    t,
    client.readSecret(DB, podToken(), never()),
    'AccessDenied',
    /./,
  )
  t.regex(error.message, /^no way \[token\] \\u001b\[31m \[token\] x+\.\.\.$/)
  t.true(error.message.length < 600)
})

const WORDLESS: readonly (readonly [string, string | Buffer])[] = [
  ['nothing', ''],
  ['HTML', `<html>${POD_TOKEN}</html>`],
  ['broken protobuf', Buffer.from('k8s\0\xff\xff\xff', 'latin1')],
  ['JSON without a message', '{"kind":"Status"}'],
  ['a message that is a number', '{"message":5}'],
  ['more than anybody reads', 'x'.repeat(100_000)],
]

for (const [what, body] of WORDLESS) {
  test(`403 with ${what} is AccessDenied in our own words`, async (t) => {
    const { client } = await serve(t, (_call, answer) => {
      answer.send(403, PROTOBUF, body)
    })
    const message = /^the pod may not read Secret "db" in namespace "shop"$/
    await assertFails(t, client.readSecret(DB, podToken(), never()), 'AccessDenied', message)
  })
}

const STATUSES = [
  [302, 'KubeUnavailable', /answered 302/],
  [400, 'KubeUnavailable', /answered 400/],
  [401, 'TokenRejected', /does not accept the pod's token/],
  [404, 'SecretNotFound', /Secret "db" does not exist in namespace "shop": create it/],
  [406, 'KubeUnavailable', /answered 406/],
  [429, 'KubeUnavailable', /answered 429/],
  [500, 'KubeUnavailable', /answered 500/],
  [503, 'KubeUnavailable', /answered 503/],
] as const

for (const [status, reason, message] of STATUSES) {
  test(`HTTP ${status} to a read is ${reason}`, async (t) => {
    const { client, server } = await serve(t, (_call, answer) => {
      answer.send(status, PROTOBUF, statusBytes(`echo ${POD_TOKEN}`, status))
    })
    await assertFails(t, client.readSecret(DB, podToken(), never()), reason, message)
    t.is(server.calls.length, 1)
  })
}

const GARBAGE: readonly (readonly [string, string | Buffer])[] = [
  ['nothing', ''],
  ['JSON', `{"data":{"password":"${POD_TOKEN}"}}`],
  ['the magic alone', 'k8s\0'],
  ['broken protobuf', Buffer.concat([secretBytes().subarray(0, 40), Buffer.from(POD_TOKEN)])],
  ['an object of another kind', secretBytes({ kind: 'ConfigMap' })],
  ['another Secret', secretBytes({ name: 'other' })],
  ['a Secret of another namespace', secretBytes({ namespace: 'other' })],
  ['a Secret without metadata', emptySecretBytes()],
  ['an object of no kind', kindlessBytes()],
  ['a Secret without a version', secretBytes({ resourceVersion: '' })],
]

for (const [what, body] of GARBAGE) {
  test(`200 with ${what} is not taken for the Secret`, async (t) => {
    const { client } = await serve(t, (_call, answer) => {
      answer.send(200, PROTOBUF, body)
    })
    const read = client.readSecret(DB, podToken(), never())
    await assertFails(t, read, 'KubeUnavailable', /something else than the Secret/)
  })
}

test('an answer of more than 2 MiB is given up before its end', async (t) => {
  const { client } = await serve(t, (_call, answer) => {
    answer.start(200, PROTOBUF)
    answer.write(Buffer.alloc(2 * 1024 * 1024 + 1))
  })
  const read = client.readSecret(DB, podToken(), never())
  await assertFails(t, read, 'PayloadTooLarge', /larger than 2097152 bytes/)
})

test('an answer that trickles is given up at the deadline', async (t) => {
  const { client } = await serve(
    t,
    (_call, answer) => {
      answer.start(200, PROTOBUF)
      const trickle = setInterval(() => {
        if (answer.gone()) clearInterval(trickle)
        else answer.write('k')
      }, 20)
    },
    { limits: { callTimeoutMs: 200 } },
  )
  const read = client.readSecret(DB, podToken(), never())
  await assertFails(t, read, 'Timeout', /reading a Secret took longer than 0.2 s/)
})

test('an answer that breaks off is no answer', async (t) => {
  const { client } = await serve(t, (_call, answer) => {
    answer.start(200, PROTOBUF)
    answer.write(secretBytes().subarray(0, 20))
    setTimeout(() => {
      answer.cut()
    }, 20)
  })
  const read = client.readSecret(DB, podToken(), never())
  await assertFails(
    t,
    read,
    'KubeUnavailable',
    /no connection to the API server \(UND_ERR_SOCKET\)/,
  )
})

test('a caller who leaves gets its own reason', async (t) => {
  const { client } = await serve(t, () => undefined)
  const caller = new AbortController()
  const read = client.readSecret(DB, podToken(), caller.signal)
  const reason = new LatchkeyError('ShuttingDown', 'bye')
  caller.abort(reason)
  t.is(await t.throwsAsync(read), reason)
})

test('a connection that the other side cut in the meantime is tried once more', async (t) => {
  let asked = 0
  const { client } = await serve(t, (_call, answer) => {
    asked += 1
    if (asked === 2) answer.cut()
    else answer.send(200, PROTOBUF, secretBytes())
  })
  await client.readSecret(DB, podToken(), never())
  await t.notThrowsAsync(client.readSecret(DB, podToken(), never()))
  t.is(asked, 3)
})

test('a server that cuts every connection is asked twice, not more', async (t) => {
  const { client, server } = await serve(t, (_call, answer) => {
    answer.cut()
  })
  const read = client.readSecret(DB, podToken(), never())
  await assertFails(t, read, 'KubeUnavailable', /no connection to the API server/)
  t.is(server.calls.length, 2)
})

test("nobody listening is KubeUnavailable with the system's code", async (t) => {
  const { connection } = await makeWorld(t, { answer: () => undefined })
  const client = clientOf(t, { ...connection, origin: 'https://127.0.0.1:1' })
  const read = client.readSecret(DB, podToken(), never())
  await assertFails(
    t,
    read,
    'KubeUnavailable',
    /^no connection to the API server \(ECONNREFUSED\)$/,
  )
})

test("the daemon's own token never goes along with a pod's read", async (t) => {
  const { client, server } = await serve(t, (_call, answer) => {
    answer.send(200, PROTOBUF, secretBytes())
  })
  await client.readSecret(DB, podToken(), never())
  t.false(JSON.stringify(server.calls).includes(DAEMON_TOKEN))
})

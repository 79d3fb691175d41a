import test from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import { until } from '../../support/until.ts'
import type { Answer } from './api-server.ts'
import { statusJson } from './kubernetes-bytes.ts'
import { POD_TOKEN, assertFails, serve } from './kube-world.ts'
import { JSON_TYPE, drain, errorLine, eventLine, watch } from './watching.ts'

test('a watch asks for one Secret by name, for notices without values', async (t) => {
  const { client, server } = await serve(t, (_call, answer) => {
    answer.send(200, JSON_TYPE, '')
  })
  t.deepEqual(await drain(watch(client, '216')), [])
  const [call] = server.calls
  t.is(call?.url.pathname, '/api/v1/namespaces/shop/secrets')
  t.deepEqual(Object.fromEntries(call?.url.searchParams ?? []), {
    watch: 'true',
    fieldSelector: 'metadata.name=db',
    allowWatchBookmarks: 'true',
    includeObject: 'None',
    timeoutSeconds: '300',
    resourceVersion: '216',
  })
  t.is(call?.headers['accept'], 'application/json;as=Table;g=meta.k8s.io;v=v1')
  t.is(call?.headers['authorization'], `Bearer ${POD_TOKEN}`)
})

test('a watch without a version to start from names none', async (t) => {
  const { client, server } = await serve(t, (_call, answer) => {
    answer.send(200, JSON_TYPE, '')
  })
  await drain(watch(client))
  t.false(server.calls[0]?.url.searchParams.has('resourceVersion'))
})

for (const http2 of [false, true]) {
  const over = http2 ? 'HTTP/2' : 'HTTP/1.1'

  test(`events come as they happen, bookmarks left out, over ${over}`, async (t) => {
    let held: Answer | undefined
    const { client, server } = await serve(
      t,
      (_call, answer) => {
        held = answer
        answer.start(200, JSON_TYPE)
        answer.write(eventLine('ADDED', '244'))
      },
      { http2 },
    )
    const events = watch(client)[Symbol.asyncIterator]()
    t.deepEqual((await events.next()).value, { type: 'present', resourceVersion: '244' })
    held?.write(eventLine('BOOKMARK', '245') + eventLine('MODIFIED', '246'))
    t.deepEqual((await events.next()).value, { type: 'present', resourceVersion: '246' })
    const line = eventLine('DELETED', '248')
    held?.write(line.slice(0, 30))
    held?.write(line.slice(30))
    t.deepEqual((await events.next()).value, { type: 'deleted', resourceVersion: '248' })
    held?.end()
    t.true((await events.next()).done)
    t.is(server.calls[0]?.httpVersion, http2 ? '2.0' : '1.1')
  })

  test(`an abort ends a silent watch at once, over ${over}`, async (t) => {
    let held: Answer | undefined
    const { client } = await serve(
      t,
      (_call, answer) => {
        held = answer
        answer.start(200, JSON_TYPE)
        answer.write(eventLine('ADDED', '244'))
      },
      { http2 },
    )
    const caller = new AbortController()
    const events = watch(client, undefined, caller.signal)[Symbol.asyncIterator]()
    await events.next()
    const next = events.next()
    const reason = new LatchkeyError('ShuttingDown', 'bye')
    caller.abort(reason)
    t.is(await t.throwsAsync(next), reason)
    t.true((await events.next()).done)
    await until(() => held?.gone() === true, { what: 'the server to notice' })
  })

  test(`a reader who leaves in the midst of it ends the request, over ${over}`, async (t) => {
    let held: Answer | undefined
    const { client } = await serve(
      t,
      (_call, answer) => {
        held = answer
        answer.start(200, JSON_TYPE)
        answer.write(eventLine('ADDED', '244'))
      },
      { http2 },
    )
    for await (const event of watch(client)) {
      t.is(event.resourceVersion, '244')
      break
    }
    await until(() => held?.gone() === true, { what: 'the server to notice' })
  })

  test(`a watch whose connection breaks has ended quietly, over ${over}`, async (t) => {
    const { client } = await serve(
      t,
      (_call, answer) => {
        answer.start(200, JSON_TYPE)
        answer.write(eventLine('ADDED', '244') + eventLine('MODIFIED', '245').slice(0, 20))
        setTimeout(() => {
          answer.cut()
        }, 30)
      },
      { http2 },
    )
    t.deepEqual(await drain(watch(client)), [{ type: 'present', resourceVersion: '244' }])
  })
}

test('an abort before the beginning asks nobody', async (t) => {
  const { client, server } = await serve(t, () => undefined)
  const reason = new LatchkeyError('ShuttingDown', 'bye')
  t.is(await t.throwsAsync(drain(watch(client, '1', AbortSignal.abort(reason)))), reason)
  t.deepEqual(server.calls, [])
})

test("an abort before the headers ends the watch with the caller's reason", async (t) => {
  const { client, server } = await serve(t, () => undefined)
  const caller = new AbortController()
  const events = drain(watch(client, '1', caller.signal))
  await until(() => server.calls.length === 1, { what: 'the call' })
  const reason = new LatchkeyError('ShuttingDown', 'bye')
  caller.abort(reason)
  t.is(await t.throwsAsync(events), reason)
})

for (const [what, lines] of [
  ['nothing', ''],
  ['410 in an event under 200', errorLine(410)],
  ['another error in an event', errorLine(500)],
] as const) {
  test(`a watch that ends at once with ${what} ends quietly`, async (t) => {
    const { client } = await serve(t, (_call, answer) => {
      answer.send(200, JSON_TYPE, lines)
    })
    t.deepEqual(await drain(watch(client, '1')), [])
  })
}

test('an error event ends a watch, whatever would follow', async (t) => {
  const { client } = await serve(t, (_call, answer) => {
    answer.start(200, JSON_TYPE)
    answer.write(eventLine('ADDED', '1') + errorLine(410) + eventLine('ADDED', '2'))
  })
  t.deepEqual(await drain(watch(client)), [{ type: 'present', resourceVersion: '1' }])
})

test('HTTP 410 ends quietly, too', async (t) => {
  const { client } = await serve(t, (_call, answer) => {
    answer.send(410, JSON_TYPE, statusJson('too old resource version', 410))
  })
  t.deepEqual(await drain(watch(client, '1')), [])
})

const FORBIDDEN =
  'secrets "db" is forbidden: User "system:serviceaccount:shop:api" cannot watch resource "secrets" in API group "" in the namespace "shop"'

test("403 is AccessDenied in the API server's words: the Status is not parsed for an event", async (t) => {
  const { client } = await serve(t, (_call, answer) => {
    answer.send(403, JSON_TYPE, statusJson(FORBIDDEN, 403))
  })
  const error = await assertFails(t, drain(watch(client)), 'AccessDenied', /./)
  t.is(error.message, FORBIDDEN)
})

for (const [status, reason] of [
  [401, 'TokenRejected'],
  [406, 'KubeUnavailable'],
  [429, 'KubeUnavailable'],
  [500, 'KubeUnavailable'],
  [503, 'KubeUnavailable'],
] as const) {
  test(`HTTP ${status} to a watch is ${reason}`, async (t) => {
    const { client } = await serve(t, (_call, answer) => {
      answer.send(status, JSON_TYPE, statusJson(`echo ${POD_TOKEN}`, status))
    })
    await assertFails(t, drain(watch(client)), reason, /./)
  })
}

for (const [what, line] of [
  ['no JSON', `{"type":"ADDED","${POD_TOKEN}\n`],
  ['a text', `"${POD_TOKEN}"\n`],
  ['null', 'null\n'],
  ['no type', '{"object":{"metadata":{"resourceVersion":"1"}}}\n'],
  ['a type that nobody knows', eventLine('CHANGED', '1')],
  ['an object without a version', '{"type":"ADDED","object":{"metadata":{}}}\n'],
  ['an empty version', eventLine('ADDED', '')],
  ['a number for a version', '{"type":"ADDED","object":{"metadata":{"resourceVersion":1}}}\n'],
  ['no object', '{"type":"DELETED"}\n'],
] as const) {
  test(`a line with ${what} breaks a watch`, async (t) => {
    const { client } = await serve(t, (_call, answer) => {
      answer.start(200, JSON_TYPE)
      answer.write(line)
    })
    await assertFails(t, drain(watch(client)), 'KubeUnavailable', /watch could not be read/)
  })
}

test('a line without end breaks a watch before it is whole', async (t) => {
  const { client } = await serve(t, (_call, answer) => {
    answer.start(200, JSON_TYPE)
    answer.write(Buffer.alloc(256 * 1024 + 1, 'x'))
  })
  await assertFails(t, drain(watch(client)), 'KubeUnavailable', /a line of more than 262144 bytes/)
})

import test from 'ava'
import { assertFails, never, serve } from './kube-world.ts'

test('the probe tells version and clock of the API server', async (t) => {
  const { client, server } = await serve(t, (_call, answer) => {
    answer.send(200, 'application/json', '{"gitVersion":"v1.35.1"}')
  })
  const { version, clockMs = 0 } = await client.probeApiServer(never())
  t.is(version, 'v1.35.1')
  t.true(Math.abs(clockMs - Date.now()) < 60_000)
  t.is(server.calls[0]?.url.pathname, '/version')
  t.is(server.calls[0]?.headers['authorization'], undefined)
})

test('an API server that does not show its version is there all the same', async (t) => {
  const { client } = await serve(t, (_call, answer) => {
    answer.send(403, 'application/json', '{"kind":"Status"}')
  })
  t.is((await client.probeApiServer(never())).version, '')
})

for (const body of ['', 'null', '{"gitVersion":7}', '<html>']) {
  test(`an answer such as ${JSON.stringify(body)} has no version`, async (t) => {
    const { client } = await serve(t, (_call, answer) => {
      answer.send(200, 'application/json', body)
    })
    t.is((await client.probeApiServer(never())).version, '')
  })
}

test('an API server in trouble is unavailable', async (t) => {
  const { client, server } = await serve(t, (call, answer) => {
    if (call.url.pathname === '/version') answer.send(503, 'text/plain', '')
  })
  await assertFails(t, client.probeApiServer(never()), 'KubeUnavailable', /answered 503/)
  t.is(server.calls.length, 1)
})

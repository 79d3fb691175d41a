import test from 'ava'
import type { PodEvent } from '../../../src/daemon/kube/pod-event.ts'
import { assertFails, DAEMON_TOKEN, never, serve } from './kube-world.ts'

const EVENT: PodEvent = {
  pod: { namespace: 'shop', name: 'api-0', uid: 'pod-uid' },
  node: 'node-1',
  type: 'Warning',
  reason: 'SecretNotFound',
  message: 'volume "db" is stale',
  count: 3,
  firstAtMs: Date.UTC(2026, 10, 21, 8, 0, 0, 999),
  lastAtMs: Date.UTC(2026, 10, 21, 10, 0, 0, 1),
}

test('an event is created beside its pod, with the daemon’s own token', async (t) => {
  const { client, server } = await serve(t, (_call, answer) => {
    answer.send(201, 'application/json', '{}')
  })
  await client.createPodEvent(EVENT, never())
  const [call] = server.calls
  t.is(call?.method, 'POST')
  t.is(call?.url.pathname, '/api/v1/namespaces/shop/events')
  t.is(call?.headers['authorization'], `Bearer ${DAEMON_TOKEN}`)
  const body = JSON.parse(call?.body ?? '') as { metadata: { name: string; namespace: string } }
  t.regex(body.metadata.name, /^api-0\.[0-9a-f]{16}$/)
  t.deepEqual(body, {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: body.metadata.name, namespace: 'shop' },
    involvedObject: {
      apiVersion: 'v1',
      kind: 'Pod',
      namespace: 'shop',
      name: 'api-0',
      uid: 'pod-uid',
    },
    type: 'Warning',
    reason: 'SecretNotFound',
    message: 'volume "db" is stale',
    source: { component: 'latchkey', host: 'node-1' },
    reportingComponent: 'latchkey',
    reportingInstance: 'node-1',
    count: 3,
    firstTimestamp: '2026-11-21T08:00:00Z',
    lastTimestamp: '2026-11-21T10:00:00Z',
  } as unknown as typeof body)
})

test('an event keeps to what the API server takes: name and message have an end', async (t) => {
  const { client, server } = await serve(t, (_call, answer) => {
    answer.send(201, 'application/json', '{}')
  })
  const name = `${'a'.repeat(235)}.${'b'.repeat(17)}`
  const message = `${'x'.repeat(1023)}\u{1f511}`
  await client.createPodEvent({ ...EVENT, pod: { ...EVENT.pod, name }, message }, never())
  const body = JSON.parse(server.calls[0]?.body ?? '') as {
    metadata: { name: string }
    message: string
  }
  t.regex(body.metadata.name, /^a{235}\.[0-9a-f]{16}$/)
  t.is(body.message, `${'x'.repeat(1023)}\ufffd`)
})

test('an event that is there already was made by the try before', async (t) => {
  const { client } = await serve(t, (_call, answer) => {
    answer.send(409, 'application/json', '{"reason":"AlreadyExists"}')
  })
  await t.notThrowsAsync(client.createPodEvent(EVENT, never()))
})

for (const [status, reason, message] of [
  [403, 'AccessDenied', /^the daemon may not create events in namespace "shop": add the kustomize/],
  [401, 'KubeUnavailable', /does not accept the daemon's own credentials$/],
  [500, 'KubeUnavailable', /^the API server answered 500 when asked to create an event$/],
] as const) {
  test(`an event that is answered with ${status} has failed`, async (t) => {
    const { client } = await serve(t, (_call, answer) => {
      answer.send(status, 'application/json', `{"message":"${DAEMON_TOKEN}"}`)
    })
    await assertFails(t, client.createPodEvent(EVENT, never()), reason, message)
  })
}

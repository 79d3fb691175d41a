import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { ClientHttp2Stream } from 'node:http2'
import test from 'ava'
import type { Call, Answer } from './api-server.ts'
import { never, serve } from './kube-world.ts'
import { JSON_TYPE, eventLine, watch } from './watching.ts'

test('an error of a watch’s HTTP/2 stream is heard even when the library hears it no more', async (t) => {
  const keepOpen = (_call: Call, answer: Answer): void => {
    answer.start(200, JSON_TYPE)
    answer.write(eventLine('ADDED', '1'))
  }
  const { client } = await serve(t, keepOpen, { http2: true })
  const streams: ClientHttp2Stream[] = []
  const heardAtBirth: number[] = []
  const note = (message: unknown): void => {
    const { stream } = message as { readonly stream: ClientHttp2Stream }
    streams.push(stream)
    heardAtBirth.push(stream.listenerCount('error'))
  }
  subscribe('http2.client.stream.created', note)
  t.teardown(() => unsubscribe('http2.client.stream.created', note))

  for await (const event of watch(client, undefined, never())) {
    t.is(event.type, 'present')
    break
  }
  t.is(streams.length, 1)
  t.deepEqual(heardAtBirth, [1])
})

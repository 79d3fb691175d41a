import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { status } from '@grpc/grpc-js'
import {
  answerTo,
  callerOf,
  csiWorld,
  publishRequest,
  TOKENS_KEY,
  type CsiWorld,
} from '../host/csi/csi-world.ts'
import { until } from '../support/until.ts'
import { callRaw } from './http2-call.ts'

/** A driver that still serves is what each of these ends with. */
async function stillServes(t: ExecutionContext, on: CsiWorld): Promise<void> {
  t.like(await callerOf(t, on.csiSocket, 'Node').call('NodeGetInfo', {}), { nodeId: 'node-1' })
}

test('a method that is not offered is unimplemented', async (t) => {
  const on = await csiWorld(t)
  const path = '/csi.v1.Node/NodeStageVolume'
  const answer = await callRaw(on.csiSocket, { authority: 'localhost', path })
  t.deepEqual(answer, { grpcStatus: String(status.UNIMPLEMENTED) })
  await stillServes(t, on)
})

test('the registration service is not served on csi.sock, nor CSI on the registration socket', async (t) => {
  const on = await csiWorld(t)
  const unimplemented = { grpcStatus: String(status.UNIMPLEMENTED) }
  const getInfo = { authority: 'localhost', path: '/pluginregistration.Registration/GetInfo' }
  t.deepEqual(await callRaw(on.csiSocket, getInfo), unimplemented)
  const nodeGetInfo = { authority: 'localhost', path: '/csi.v1.Node/NodeGetInfo' }
  t.deepEqual(await callRaw(on.registrationSocket, nodeGetInfo), unimplemented)
})

test('a message beyond the limit is refused before it is decoded', async (t) => {
  const on = await csiWorld(t)
  const { volumeContext, ...rest } = publishRequest(on.kubeletRoot)
  const answer = await answerTo(
    callerOf(t, on.csiSocket, 'Node').call('NodePublishVolume', {
      ...rest,
      volumeContext: { ...volumeContext, items: Buffer.alloc(1024 * 1024, 'x') },
    }),
  )
  t.is(answer.code, 'RESOURCE_EXHAUSTED')
  t.deepEqual(on.volumes.published, [])
  await stillServes(t, on)
})

test('bytes that are no HTTP/2 cost their sender the connection, and nobody else anything', async (t) => {
  const on = await csiWorld(t)
  for (const garbage of [
    randomBytes(4096),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.alloc(64),
  ]) {
    const socket = connect(on.csiSocket)
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    socket.resume()
    const closed = once(socket, 'close')
    socket.end(garbage)
    await closed
  }
  await stillServes(t, on)
})

test('a message that is no protobuf is refused', async (t) => {
  const on = await csiWorld(t)
  const path = '/csi.v1.Node/NodePublishVolume'
  // Field 1 with a wire type that does not exist.
  const message = Buffer.from([0x0f])
  const answer = await callRaw(on.csiSocket, { authority: 'localhost', path, message })
  t.deepEqual(answer, { grpcStatus: String(status.INTERNAL) })
  await stillServes(t, on)
})

test('a connection that says nothing holds up nobody', async (t) => {
  const on = await csiWorld(t)
  const silent = connect(on.csiSocket)
  await once(silent, 'connect')
  t.teardown(() => silent.destroy())
  await stillServes(t, on)
})

test('a hundred connections with one call each, as kubelet makes them, are all answered', async (t) => {
  const on = await csiWorld(t)
  const answers = await Promise.all(
    Array.from({ length: 100 }, () =>
      callRaw(on.csiSocket, { authority: 'localhost', path: '/csi.v1.Node/NodeGetCapabilities' }),
    ),
  )
  t.true(answers.every((answer) => 'grpcStatus' in answer && answer.grpcStatus === '0'))
  t.is(on.done.length, 100)
})

test('a caller that hangs up in the middle of a publish aborts it', async (t) => {
  const on = await csiWorld(t)
  on.volumes.holds = new Promise(() => undefined)
  const hangUp = new AbortController()
  const answering = answerTo(
    callerOf(t, on.csiSocket, 'Node').call(
      'NodePublishVolume',
      publishRequest(on.kubeletRoot),
      hangUp.signal,
    ),
  )
  await until(() => on.volumes.published.length > 0, { what: 'the publish to arrive' })
  hangUp.abort()
  t.is((await answering).code, 'CANCELLED')
  await until(() => on.done.length > 0, { what: 'the publish to end' })
  t.deepEqual(on.done, ['NodePublishVolume Timeout'])
})

test('no log line and no error holds a token, whatever went wrong', async (t) => {
  const on = await csiWorld(t)
  const canary = 'Y2FuYXJ5.Y2FuYXJ5.Y2FuYXJ5'
  const node = callerOf(t, on.csiSocket, 'Node')
  const texts: string[] = []
  for (const tokens of [
    `{"latchkey":{"token":"${canary}"}}`,
    `{"latchkey":{"token":"${canary}","expirationTimestamp":"soon"}}`,
    `{"latchkey":"${canary}"}`,
    `["${canary}"]`,
    `{"latchkey":{"token":"${canary}`,
    canary,
  ]) {
    const request = publishRequest(on.kubeletRoot)
    const secrets = { [TOKENS_KEY]: Buffer.from(tokens) }
    const answer = await answerTo(node.call('NodePublishVolume', { ...request, secrets }))
    t.is(answer.code, 'INVALID_ARGUMENT', tokens.replace(canary, 'TOKEN'))
    texts.push(answer.message)
  }
  t.false([...texts, ...on.logs].join('\n').includes('Y2FuYXJ5'))
})

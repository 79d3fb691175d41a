import test from 'ava'
import { csiWorld } from '../host/csi/csi-world.ts'
import { callRaw, PROTOCOL_ERROR } from './http2-call.ts'

/*
 * A unix socket has no host name, so each generation of gRPC clients sends an `:authority` of its own.
 * Node's HTTP/2 lets through what RFC 3986 allows as an authority and resets the stream otherwise,
 * before any of our code runs: this says which kubelets can reach a driver on Node at all.
 */

const GET_INFO = '/pluginregistration.Registration/GetInfo'
const NODE_GET_INFO = '/csi.v1.Node/NodeGetInfo'

test('kubelet reaches csi.sock as "localhost" (1.26 and later)', async (t) => {
  const on = await csiWorld(t)
  const answer = await callRaw(on.csiSocket, { authority: 'localhost', path: NODE_GET_INFO })
  t.deepEqual(answer, { grpcStatus: '0' })
})

test('kubelet reaches the registration socket by its percent-encoded path (grpc-go 1.57)', async (t) => {
  const on = await csiWorld(t)
  const authority = encodeURIComponent(on.registrationSocket)
  t.deepEqual(await callRaw(on.registrationSocket, { authority, path: GET_INFO }), {
    grpcStatus: '0',
  })
})

for (const { name, authority } of [
  { name: 'a raw path (grpc-go before 1.57)', authority: '/var/lib/kubelet/plugins/x/csi.sock' },
  { name: 'a target with its scheme', authority: 'unix:///var/lib/kubelet/plugins/x/csi.sock' },
  { name: 'an empty authority', authority: '' },
]) {
  test(`${name} is reset by HTTP/2 and never reaches the driver`, async (t) => {
    const on = await csiWorld(t)
    const answer = await callRaw(on.csiSocket, { authority, path: NODE_GET_INFO })
    t.deepEqual(answer, { resetCode: PROTOCOL_ERROR })
    t.deepEqual(on.done, [])
    const next = await callRaw(on.csiSocket, { authority: 'localhost', path: NODE_GET_INFO })
    t.deepEqual(next, { grpcStatus: '0' })
  })
}

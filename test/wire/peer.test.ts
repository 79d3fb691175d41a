import { once } from 'node:events'
import { connect, createServer, Socket, type AddressInfo, type Server } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { peerUid } from '../../src/wire/peer.ts'
import { tempDir } from '../support/temp-dir.ts'

/** Both ends of one connection. */
async function connected(
  t: ExecutionContext,
  listen: (server: Server) => void,
  dial: (server: Server) => Socket,
): Promise<{ accepted: Socket; dialled: Socket }> {
  const server = createServer()
  listen(server)
  await once(server, 'listening')
  const dialled = dial(server)
  const [accepted] = (await once(server, 'connection')) as [Socket]
  t.teardown(() => {
    dialled.destroy()
    accepted.destroy()
    server.close()
  })
  return { accepted, dialled }
}

test('both ends of a unix socket can tell the uid of the other', async (t) => {
  const path = `${tempDir(t)}/x.sock`
  const { accepted, dialled } = await connected(
    t,
    (server) => server.listen(path),
    () => connect(path),
  )
  t.is(peerUid(accepted), process.getuid?.())
  t.is(peerUid(dialled), process.getuid?.())
})

test('a TCP peer has no uid, rather than that of nobody', async (t) => {
  const { accepted } = await connected(
    t,
    (server) => server.listen(0, '127.0.0.1'),
    (server) => connect((server.address() as AddressInfo).port, '127.0.0.1'),
  )
  t.is(peerUid(accepted), undefined)
})

test('a socket that is not connected, or no longer, has no peer', async (t) => {
  t.is(peerUid(new Socket()), undefined)
  const path = `${tempDir(t)}/x.sock`
  const { accepted } = await connected(
    t,
    (server) => server.listen(path),
    () => connect(path),
  )
  accepted.destroy()
  t.is(peerUid(accepted), undefined)
})

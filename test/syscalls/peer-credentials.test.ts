import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { LatchkeyError } from '../../src/core/errors.ts'
import { SyscallError } from '../../src/syscalls/libc.ts'
import { peerCredentials } from '../../src/syscalls/peer-credentials.ts'
import { tempDir } from '../support/temp-dir.ts'

/** Both ends of a connection, to a socket's path or to a TCP port of this machine's choice. */
async function connection(
  t: ExecutionContext,
  path?: string,
): Promise<{ readonly client: number; readonly server: number }> {
  const server = createServer()
  const accepted = once(server, 'connection')
  await new Promise<undefined>((resolve) => {
    const done = (): void => {
      resolve(undefined)
    }
    if (path === undefined) server.listen(0, '127.0.0.1', done)
    else server.listen(path, done)
  })
  const client =
    path === undefined ? connect((server.address() as AddressInfo).port) : connect(path)
  await once(client, 'connect')
  const [incoming] = (await accepted) as [Socket]
  t.teardown(() => {
    client.destroy()
    incoming.destroy()
    server.close()
  })
  return { client: fdOf(client), server: fdOf(incoming) }
}

function fdOf(socket: Socket): number {
  return (socket as unknown as { _handle: { fd: number } })._handle.fd
}

test('both ends of a unix socket learn who the other is', async (t) => {
  const ends = await connection(t, `${tempDir(t)}/s`)
  const self = { uid: process.getuid?.(), gid: process.getgid?.(), pid: process.pid }
  t.like(peerCredentials(ends.server), self)
  t.like(peerCredentials(ends.client), self)
})

test('a TCP connection has no credentials and is refused', async (t) => {
  const ends = await connection(t)
  for (const fd of [ends.client, ends.server]) {
    const error = t.throws(() => peerCredentials(fd))
    t.is(LatchkeyError.from(error).reason, 'AccessDenied')
  }
})

test('what is no socket fails by its errno', (t) => {
  const fd = openSync('/dev/null', 'r')
  const file = t.throws(() => peerCredentials(fd), { instanceOf: SyscallError })
  closeSync(fd)
  t.is(file.code, 'ENOTSOCK')
  t.is(file.call, 'getsockopt')
  const nothing = t.throws(() => peerCredentials(-1), { instanceOf: SyscallError })
  t.is(nothing.code, 'EBADF')
})

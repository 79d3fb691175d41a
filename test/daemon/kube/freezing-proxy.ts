import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import type { ExecutionContext } from 'ava'

export interface FreezingProxy {
  readonly port: number
  /** From now on nothing passes on the connections there are, and nobody is told; new ones work. */
  freeze(): void
}

/** A path to `port` on which connections can die without a word, as when a machine loses its power. */
export async function startFreezingProxy(
  t: ExecutionContext,
  port: number,
): Promise<FreezingProxy> {
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => undefined).on('close', () => sockets.delete(socket))
    }
    near.on('close', () => far.destroy()).pipe(far)
    far.on('close', () => near.destroy()).pipe(near)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return {
    port: (server.address() as AddressInfo).port,
    freeze() {
      for (const socket of sockets) socket.unpipe().pause()
    },
  }
}

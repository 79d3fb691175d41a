import type { Socket } from 'node:net'
import { peerCredentials } from '../syscalls/peer-credentials.ts'

/**
 * The uid of the process at the other end of a unix socket; undefined where it cannot be told, which is
 * nobody's. A pid is not asked for: between containers it is 0.
 */
export function peerUid(socket: Socket): number | undefined {
  const fd = descriptorOf(socket)
  if (fd === undefined) return undefined
  try {
    return peerCredentials(fd).uid
  } catch {
    return undefined
  }
}

/** Node has no public way to a socket's descriptor; a handle without one is refused by the caller. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as unknown as { readonly _handle?: { readonly fd?: unknown } }
  return typeof handle?.fd === 'number' && handle.fd >= 0 ? handle.fd : undefined
}

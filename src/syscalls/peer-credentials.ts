import { LatchkeyError } from '../core/errors.ts'
import { bind } from './libc.ts'

const SOL_SOCKET = 1
const SO_PEERCRED = 17
/** What the kernel answers for a socket that has no peer process, such as TCP. */
const NOBODY = 0xffff_ffff

const getsockopt = bind('getsockopt', 'int getsockopt(int, int, int, void *, void *)')

export interface PeerCredentials {
  readonly uid: number
  readonly gid: number
  /** 0 where the peer lives in another pid namespace, such as another container. */
  readonly pid: number
}

/**
 * Who is on the other end of a unix socket, by the kernel's word of when it was connected.
 *
 * Throws: AccessDenied where the socket is no unix socket · SyscallError, ENOTSOCK among others.
 */
export function peerCredentials(socketFd: number): PeerCredentials {
  const credentials = Buffer.alloc(12)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(credentials.length)
  getsockopt(socketFd, SOL_SOCKET, SO_PEERCRED, credentials, length)
  const [pid, uid, gid] = [0, 4, 8].map((offset) => credentials.readUInt32LE(offset))
  if (pid === undefined || uid === undefined || gid === undefined || uid === NOBODY) {
    throw new LatchkeyError('AccessDenied', 'the caller has no credentials: not a unix socket')
  }
  return { uid, gid, pid }
}

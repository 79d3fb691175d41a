import { lstatSync, type BigIntStats } from 'node:fs'
import type { Socket } from 'node:net'
import { dirname } from 'node:path'
import { credentials, type ChannelCredentials } from '@grpc/grpc-js'
import { LatchkeyError } from '../core/errors.ts'
import { peerUid } from './peer.ts'

/** Whom a caller expects at a socket's path. */
export interface Vetting {
  /** Whose the socket has to be; left out, whoever's its folder is. */
  readonly ownerUid?: number | undefined
  /** What lies there was refused: once for each change of why. */
  readonly onRefused: (error: LatchkeyError) => void
}

/** A socket as it lay at its path before anybody connected to it. */
interface Found {
  readonly uid: number
  readonly device: bigint
  readonly inode: bigint
}

/** Whoever may write to the folder could put another socket there; to read it is of no use to anybody either. */
const OF_OTHERS = 0o077n

/**
 * Channel credentials that say nothing to a socket that is not the expected one's. Looked at on every
 * connection: the path before connect(2), which would follow a link; the peer by the kernel's word, and the
 * path once more, before the first byte.
 *
 * By grpc-js's connector and not by Node's diagnostics channel: that one runs beside the first bytes.
 * `_createSecureConnector` is internal to grpc-js and undocumented: package.json pins the version exactly,
 * and vetted-socket.test.ts fails where it is not called any more.
 */
export function vettedCredentials(path: string, vetting: Vetting): ChannelCredentials {
  const plain = credentials.createInsecure()
  const connectorOf = plain._createSecureConnector.bind(plain)
  let refusal = ''
  const vetted = <T>(look: () => T): T => {
    try {
      return look()
    } catch (thrown) {
      const error = LatchkeyError.from(thrown)
      if (error.reason === 'AccessDenied' && error.message !== refusal) {
        refusal = error.message
        vetting.onRefused(error)
      }
      throw error
    }
  }
  plain._createSecureConnector = (...args) => {
    const connector = connectorOf(...args)
    let found: Found | undefined
    return {
      ...connector,
      async waitForReady() {
        await connector.waitForReady()
        found = vetted(() => findSocket(path, vetting.ownerUid))
      },
      async connect(socket) {
        vetted(() => {
          refusePeer(socket, path, found)
        })
        refusal = ''
        return connector.connect(socket)
      },
    }
  }
  return plain
}

/**
 * The socket at a path, never by a link: the owner's own, in a folder that is the owner's alone.
 *
 * Throws: AccessDenied, saying what lies there instead · DaemonUnavailable where nothing does.
 */
export function findSocket(path: string, ownerUid?: number): Found {
  const folder = dirname(path)
  const around = lstat(folder)
  if (!around.isDirectory()) throw denied(folder, 'a link, or no folder')
  const uid = ownerUid ?? Number(around.uid)
  refuseOthers(folder, around, uid)
  const socket = lstat(path)
  if (!socket.isSocket()) throw denied(path, 'a link, or no socket')
  refuseOthers(path, socket, uid)
  return { uid, device: socket.dev, inode: socket.ino }
}

function refuseOthers(path: string, { uid, mode }: BigIntStats, expected: number): void {
  if (Number(uid) !== expected) throw denied(path, `of uid ${uid}, and not of ${expected}`)
  if ((mode & OF_OTHERS) === 0n) return
  throw denied(path, `open to other users (mode 0${(mode & 0o777n).toString(8)})`)
}

function refusePeer(socket: Socket, path: string, before: Found | undefined): void {
  if (before === undefined) throw denied(path, 'not looked at')
  const uid = peerUid(socket)
  if (uid !== before.uid) {
    throw denied(path, `served by uid ${uid ?? 'unknown'}, and not by ${before.uid}`)
  }
  const now = findSocket(path, before.uid)
  if (now.inode !== before.inode || now.device !== before.device) {
    throw denied(path, 'another socket than a moment before')
  }
}

function lstat(path: string): BigIntStats {
  const found = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  if (found !== undefined) return found
  throw new LatchkeyError('DaemonUnavailable', `there is no ${path}`)
}

function denied(path: string, what: string): LatchkeyError {
  return new LatchkeyError('AccessDenied', `${path} is ${what}: nothing was said to it`)
}

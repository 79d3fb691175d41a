import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { loadConfig } from '../config/load.ts'
import { LatchkeyError } from '../core/errors.ts'
import { createMountClient, type MountClient } from '../wire/mount-client.ts'

/** A daemon that turns a caller away does so before the first byte. */
const HANG_UP_MS = 500

/**
 * Asks the daemon of this node one thing, over the socket that the configuration names.
 *
 * Throws: InvalidRequest (the configuration) · DaemonUnavailable, saying what is wrong with the socket ·
 * whatever `ask` throws.
 */
export async function askDaemon<T>(
  configFile: string | undefined,
  ask: (client: MountClient) => Promise<T>,
): Promise<T> {
  const socket = loadConfig({ file: configFile }).sockets.mount
  return askDaemonAt(socket, ask)
}

/** As askDaemon, for whoever knows the socket already. */
export async function askDaemonAt<T>(
  socket: string,
  ask: (client: MountClient) => Promise<T>,
): Promise<T> {
  const client = createMountClient(socket)
  try {
    return await ask(client)
  } catch (thrown) {
    const error = LatchkeyError.from(thrown)
    if (error.reason !== 'DaemonUnavailable') throw error
    throw new LatchkeyError('DaemonUnavailable', await explainAbsence(socket))
  } finally {
    client.close()
  }
}

/** gRPC says the same word of a daemon that is away and of one that does not want this caller. */
async function explainAbsence(path: string): Promise<string> {
  const uid = process.geteuid?.() ?? -1
  const rootOnly = `the daemon answers root alone: run this in the host container
kubectl -n latchkey-system exec ds/latchkey -c host -- latchkey COMMAND`
  switch (await knock(path)) {
    case 'ENOENT':
      return `there is no socket ${path}: the daemon has not started, or listens elsewhere (sockets.mount in the configuration)`
    case 'EACCES':
    case 'EPERM':
      return `uid ${uid} may not reach the socket ${path}; ${rootOnly}`
    case 'ECONNREFUSED':
      return `nobody listens at ${path}: the daemon has ended`
    case 'hung up':
      return uid === 0
        ? `the daemon at ${path} hung up: it is stopping, or has too many connections`
        : `the daemon at ${path} does not answer uid ${uid}; ${rootOnly}`
    default:
      return `the daemon at ${path} does not answer`
  }
}

async function knock(path: string): Promise<string> {
  const socket = connect(path)
  const known = new AbortController()
  const ended = new Promise<string>((resolve) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code ?? 'error')
    })
    socket.once('close', () => {
      resolve('hung up')
    })
    socket.resume()
  })
  try {
    const silence = delay(HANG_UP_MS, 'silence', { signal: known.signal }).catch(() => 'silence')
    return await Promise.race([ended, silence])
  } finally {
    known.abort()
    socket.destroy()
  }
}

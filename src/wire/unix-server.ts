import { chmodSync, lstatSync, mkdirSync, renameSync, unlinkSync } from 'node:fs'
import { createServer, type Server as NetServer, type Socket } from 'node:net'
import { dirname } from 'node:path'
import {
  compressionAlgorithms,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { HIDDEN_EXTRA_BYTES, hiddenName, removeStaleSockets } from './hidden-socket.ts'

/** sockaddr_un holds 108 bytes and a NUL; Node cuts a longer path off and listens somewhere else. */
const MAX_SOCKET_PATH_BYTES = 107

/** On one connection: the host side has one stream for each volume on it, and no node has as many. */
const MAX_STREAMS = 4_096
/** kubelet connects for each call; who connects and calls nothing takes a place from others. */
const IDLE_MS = 60_000

export interface Service {
  readonly definition: ServiceDefinition
  readonly handlers: UntypedServiceImplementation
}

export interface UnixServerOptions {
  readonly path: string
  readonly services: readonly Service[]
  readonly maxMessageBytes: number
  readonly maxConnections: number
  /** Whether the socket's folder is ours to make and to keep at 0700; kubelet's registry is not. */
  readonly ownsFolder: boolean
  /** Answers whether a peer may speak at all, before its first byte is read. */
  readonly admits: (socket: Socket) => boolean
  readonly clock: Clock
  /** How long a connection may stay without a call; a minute unless said. */
  readonly idleMs?: number
}

/**
 * A gRPC server on a unix socket that nobody can meet half made: bound under a hidden name with mode 0600,
 * then renamed into place, over whatever a dead predecessor left there.
 */
export class UnixServer {
  readonly path: string
  readonly #grpc: Server
  readonly #listener: NetServer
  readonly #options: UnixServerOptions
  readonly #sockets = new Set<Socket>()
  #inode: bigint | undefined

  private constructor(options: UnixServerOptions) {
    this.path = options.path
    this.#options = options
    this.#grpc = new Server({
      'grpc.max_receive_message_length': options.maxMessageBytes,
      'grpc.max_send_message_length': options.maxMessageBytes,
      'grpc.default_compression_algorithm': compressionAlgorithms.identity,
      'grpc.max_concurrent_streams': MAX_STREAMS,
      'grpc.max_connection_idle_ms': options.idleMs ?? IDLE_MS,
    })
    for (const { definition, handlers } of options.services) {
      this.#grpc.addService(definition, handlers)
    }
    const injector = this.#grpc.createConnectionInjector(ServerCredentials.createInsecure())
    this.#listener = createServer((socket) => {
      this.#accept(socket, (accepted) => {
        injector.injectConnection(accepted)
      })
    })
    this.#listener.maxConnections = options.maxConnections
  }

  /** Throws: InvalidRequest where the path cannot be a socket · Internal where it cannot be bound. */
  static async listen(options: UnixServerOptions): Promise<UnixServer> {
    if (Buffer.byteLength(hiddenName(options.path)) > MAX_SOCKET_PATH_BYTES) {
      const allowed = MAX_SOCKET_PATH_BYTES - HIDDEN_EXTRA_BYTES
      throw new LatchkeyError(
        'InvalidRequest',
        `socket path ${options.path} is longer than ${allowed} bytes`,
      )
    }
    const server = new UnixServer(options)
    await server.#bind()
    return server
  }

  /** Reports whether the socket at the path is still the one that this server listens on. */
  isInPlace(): boolean {
    return this.#listener.listening && this.#inode === inodeOf(this.path)
  }

  /** Lets calls under way finish for up to `drainMs`, then ends them; unlinks only its own socket. */
  async close(drainMs: number): Promise<void> {
    if (this.isInPlace()) unlinkSync(this.path)
    this.#listener.close()
    const drained = Promise.all([...this.#sockets].map(closed))
    // Connections are told to go away, and close with their last call. Its own callback says nothing of
    // that: it comes at once, for Node's http2 servers mark their sessions closed as soon as they are asked.
    this.#grpc.tryShutdown(() => undefined)
    const cut = this.#options.clock.after(drainMs, () => {
      this.#grpc.forceShutdown()
      for (const socket of this.#sockets) socket.destroy()
    })
    await drained
    cut()
  }

  #accept(socket: Socket, serve: (socket: Socket) => void): void {
    // A peer that goes away in the middle is its own business.
    socket.on('error', () => socket.destroy())
    if (!this.#options.admits(socket)) {
      socket.destroy()
      return
    }
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    serve(socket)
  }

  async #bind(): Promise<void> {
    const folder = dirname(this.path)
    const hidden = hiddenName(this.path)
    try {
      if (this.#options.ownsFolder) keepFolderPrivate(folder)
      else refuseMissingFolder(folder)
      await removeStaleSockets(this.path)
      const umask = process.umask(0o177)
      const listening = listen(this.#listener, hidden)
      process.umask(umask)
      await listening
      this.#inode = inodeOf(hidden)
      renameSync(hidden, this.path)
    } catch (thrown) {
      // Closing the listener unlinks the hidden name, too.
      this.#listener.close()
      if (thrown instanceof LatchkeyError || !(thrown instanceof Error)) throw thrown
      throw new LatchkeyError('Internal', `cannot listen on ${this.path}: ${thrown.message}`)
    }
  }
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('close', () => {
      resolve()
    })
  })
}

function refuseMissingFolder(folder: string): void {
  if (lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return
  throw new LatchkeyError(
    'InvalidRequest',
    `there is no folder ${folder}: kubelet makes it; is kubelet.root in the configuration right?`,
  )
}

function keepFolderPrivate(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const found = lstatSync(folder)
  if (!found.isDirectory() || found.uid !== process.getuid?.()) {
    throw new LatchkeyError('InvalidRequest', `socket folder ${folder} is a link or not our own`)
  }
  // hostPath's DirectoryOrCreate makes it 0755.
  if ((found.mode & 0o777) !== 0o700) chmodSync(folder, 0o700)
}

function inodeOf(path: string): bigint | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino
}

function listen(server: NetServer, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // It stays after the start: a connection that could not be accepted, for want of descriptors,
    // comes here too, and would end the process without a listener.
    server.on('error', reject)
    // bind(2) happens within this call, while the umask above is in force.
    server.listen(path, () => {
      resolve()
    })
  })
}

import type { Socket } from 'node:net'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../observability/log.ts'
import { MAX_CSI_MESSAGE_BYTES } from '../../wire/limits.ts'
import { loadCsi, loadRegistration } from '../../wire/protos.ts'
import type { UnaryOptions } from '../../wire/unary.ts'
import { UnixServer, type Service } from '../../wire/unix-server.ts'
import { identityService } from './identity-service.ts'
import { KeptSocket } from './kept-socket.ts'
import { nodeService } from './node-service.ts'
import { registrationService } from './registration-service.ts'
import type { VolumePort } from './volume-port.ts'

export interface CsiServerOptions {
  readonly driver: string
  readonly version: string
  readonly nodeName: string
  readonly kubeletRoot: string
  readonly volumes: VolumePort
  readonly maxConnections: number
  readonly clock: Clock
  readonly log: Logger
  readonly onDone: UnaryOptions['onDone']
  readonly onRegistration: (state: RegistrationState) => void
  readonly admits: (socket: Socket) => boolean
}

export interface RegistrationState {
  readonly isRegistered: boolean
  /** kubelet's own words where it refused. */
  readonly error: string
}

/** kubelet gives 2 minutes, the host's story answers in half of it. */
const CALL_TIMEOUT_MS = 60_000

/** The driver as kubelet sees it: csi.sock, and the registration socket that makes kubelet come. */
export class CsiServer {
  readonly #csi: KeptSocket
  readonly #registration: KeptSocket
  readonly #options: CsiServerOptions

  private constructor(options: CsiServerOptions, csi: KeptSocket, registration: KeptSocket) {
    this.#options = options
    this.#csi = csi
    this.#registration = registration
  }

  /** Listens before it registers: kubelet calls back within milliseconds. */
  static async start(options: CsiServerOptions): Promise<CsiServer> {
    const { driver, kubeletRoot, clock, log } = options
    const calls = { clock, timeoutMs: CALL_TIMEOUT_MS, onDone: options.onDone }
    const endpoint = csiSocketPath(kubeletRoot, driver)
    const csi = await KeptSocket.open({
      name: endpoint,
      clock,
      log,
      listen: () => listen(endpoint, true, csiServices(options, calls), options),
    })
    let renew = (): void => undefined
    const onStatus = (isRegistered: boolean, error: string): void => {
      options.onRegistration({ isRegistered, error })
      if (!isRegistered) renew()
    }
    const handlers = registrationService({ driver, endpoint, onStatus }, calls)
    const definition = loadRegistration().Registration.service
    const path = registrationSocketPath(kubeletRoot, driver)
    const registration = await KeptSocket.open({
      name: path,
      clock,
      log,
      listen: () => listen(path, false, [{ definition, handlers }], options),
    })
    renew = () => {
      registration.renew()
    }
    return new CsiServer(options, csi, registration)
  }

  /** Reports whether both sockets lie where kubelet looks for them. */
  get isInPlace(): boolean {
    return this.#csi.isInPlace && this.#registration.isInPlace
  }

  /** Unregisters first, for a stale registration socket costs kubelet's next start ten seconds a try. */
  async stop(): Promise<void> {
    await this.#registration.close()
    this.#options.onRegistration({ isRegistered: false, error: 'stopped' })
    await this.#csi.close()
  }
}

export function csiSocketPath(kubeletRoot: string, driver: string): string {
  return `${kubeletRoot}/plugins/${driver}/csi.sock`
}

export function registrationSocketPath(kubeletRoot: string, driver: string): string {
  return `${kubeletRoot}/plugins_registry/${driver}-reg.sock`
}

function csiServices(options: CsiServerOptions, calls: UnaryOptions): readonly Service[] {
  const { Identity, Node } = loadCsi()
  return [
    { definition: Identity.service, handlers: identityService(options, calls) },
    { definition: Node.service, handlers: nodeService(options, calls) },
  ]
}

function listen(
  path: string,
  ownsFolder: boolean,
  services: readonly Service[],
  { clock, admits, maxConnections }: CsiServerOptions,
): Promise<UnixServer> {
  return UnixServer.listen({
    path,
    services,
    maxMessageBytes: MAX_CSI_MESSAGE_BYTES,
    maxConnections,
    ownsFolder,
    admits,
    clock,
  })
}

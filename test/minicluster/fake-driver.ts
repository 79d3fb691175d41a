import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import type { handleUnaryCall, sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js'
import { systemClock } from '../../src/core/clock.ts'
import type { NodePublishVolumeRequest__Output } from '../../src/wire/gen/csi/v1/NodePublishVolumeRequest.ts'
import type { NodeUnpublishVolumeRequest__Output } from '../../src/wire/gen/csi/v1/NodeUnpublishVolumeRequest.ts'
import type { RegistrationStatus__Output } from '../../src/wire/gen/pluginregistration/RegistrationStatus.ts'
import { loadCsi, loadRegistration } from '../../src/wire/protos.ts'
import { UnixServer } from '../../src/wire/unix-server.ts'
import type { Service } from '../../src/wire/unix-server.ts'
import { until } from '../support/until.ts'

export type Publish = NodePublishVolumeRequest__Output
export type Unpublish = NodeUnpublishVolumeRequest__Output

/** What a driver answers in place of OK. */
export interface Refusal {
  readonly code: number
  readonly details: string
}

/** google.golang.org/grpc/codes, those that these tests need. */
export const CODE = {
  notFound: 5,
  permissionDenied: 7,
  internal: 13,
  unavailable: 14,
} as const

export interface SeenCall {
  readonly method: string
  readonly request: unknown
  readonly authority: string
  /** As the client set it. */
  readonly deadlineInMs: number
  readonly isCancelled: () => boolean
}

export interface FakeDriverOptions {
  readonly kubeletRoot: string
  readonly name?: string
  /** Of the socket in plugins_registry. */
  readonly fileName?: string
  readonly info?: {
    readonly type?: string
    readonly endpoint?: string
    readonly supportedVersions?: readonly string[]
  }
  readonly nodeId?: string
  /** Default: true; false: unpublish answers OK and does nothing. */
  readonly removesTarget?: boolean
  readonly capabilities?: readonly ('VOLUME_MOUNT_GROUP' | 'GET_VOLUME_STATS')[]
}

type Behaviour<Request> = (request: Request) => Promise<Refusal | undefined> | Refusal | undefined

/** A CSI driver that writes one file per volume into a plain folder, and fails as a test tells it. */
export class FakeDriver {
  readonly name: string
  readonly socketPath: string
  readonly registrationPath: string
  readonly calls: SeenCall[] = []
  /** What kubelet told it: registered or not, and why not. */
  readonly verdicts: RegistrationStatus__Output[] = []
  onGetInfo: Behaviour<object> = () => undefined
  onPublish: Behaviour<Publish> = () => undefined
  onUnpublish: Behaviour<Unpublish> = () => undefined
  readonly #options: FakeDriverOptions
  #servers: UnixServer[] = []

  private constructor(options: FakeDriverOptions) {
    this.#options = options
    this.name = options.name ?? 'csi.latchkey.dev'
    this.socketPath = join(options.kubeletRoot, 'plugins', this.name, 'csi.sock')
    const fileName = options.fileName ?? `${this.name}-reg.sock`
    this.registrationPath = join(options.kubeletRoot, 'plugins_registry', fileName)
  }

  static async start(options: FakeDriverOptions): Promise<FakeDriver> {
    const driver = new FakeDriver(options)
    await driver.listen()
    return driver
  }

  /** Binds anew, over whatever lies at the sockets' paths. */
  async listen(): Promise<void> {
    this.#servers = [
      await this.#serve(this.socketPath, true, this.#nodeService()),
      await this.#serve(this.registrationPath, false, this.#registrationService()),
    ]
  }

  /** Leaves in good order: both sockets are unlinked. */
  async stop(): Promise<void> {
    await Promise.all(this.#servers.splice(0).map((server) => server.close(0)))
  }

  /** Dies: what is left are two sockets on which nobody listens. */
  async crash(): Promise<void> {
    // Out of the server's sight, which would unlink its own; the same inode comes back.
    const hidden = join(dirname(this.registrationPath), '.kept')
    // In one go, or kubelet would see the path empty.
    renameSync(this.registrationPath, hidden)
    const closed = this.#servers.splice(0).map((server) => server.close(0))
    renameSync(hidden, this.registrationPath)
    await Promise.all(closed)
    await leaveDeadSocket(this.socketPath)
  }

  publishes(): readonly Publish[] {
    return this.#requests('NodePublishVolume') as Publish[]
  }

  unpublishes(): readonly Unpublish[] {
    return this.#requests('NodeUnpublishVolume') as Unpublish[]
  }

  count(method: string): number {
    return this.#requests(method).length
  }

  /** Waits for that many calls. */
  async called(method: string, count: number): Promise<void> {
    await until(() => this.count(method) >= count, { what: `${count} x ${method}` })
  }

  #requests(method: string): readonly unknown[] {
    return this.calls.filter((call) => call.method === method).map(({ request }) => request)
  }

  #nodeService(): Service {
    const {
      nodeId = 'node-1',
      capabilities = ['VOLUME_MOUNT_GROUP'],
      removesTarget = true,
    } = this.#options
    return {
      definition: loadCsi().Node.service,
      handlers: {
        NodeGetInfo: this.#handler('NodeGetInfo', () => ({ nodeId })),
        NodeGetCapabilities: this.#handler('NodeGetCapabilities', () => ({
          capabilities: capabilities.map((type) => ({ rpc: { type } })),
        })),
        NodePublishVolume: this.#handler('NodePublishVolume', async (request: Publish) => {
          const refusal = await this.onPublish(request)
          if (refusal !== undefined) return refusal
          // In one go: a test that ends meanwhile takes the folder away.
          mkdirSync(request.targetPath, { recursive: true })
          writeFileSync(join(request.targetPath, 'password'), 'hunter2')
          return {}
        }),
        NodeUnpublishVolume: this.#handler('NodeUnpublishVolume', async (request: Unpublish) => {
          const refusal = await this.onUnpublish(request)
          if (refusal !== undefined) return refusal
          if (removesTarget) rmSync(request.targetPath, { recursive: true, force: true })
          return {}
        }),
      },
    }
  }

  #registrationService(): Service {
    const { info = {} } = this.#options
    return {
      definition: loadRegistration().Registration.service,
      handlers: {
        GetInfo: this.#handler('GetInfo', async (request: object) => {
          const refusal = await this.onGetInfo(request)
          if (refusal !== undefined) return refusal
          const own = { type: 'CSIPlugin', endpoint: this.socketPath, supportedVersions: ['1.0.0'] }
          return { name: this.name, ...own, ...info }
        }),
        NotifyRegistrationStatus: this.#handler(
          'NotifyRegistrationStatus',
          (status: RegistrationStatus__Output) => {
            this.verdicts.push(status)
            return {}
          },
        ),
      },
    }
  }

  #handler<Request>(
    method: string,
    answer: (request: Request) => object | Promise<object>,
  ): handleUnaryCall<Request, object> {
    return (call: ServerUnaryCall<Request, object>, callback: sendUnaryData<object>) => {
      this.calls.push({
        method,
        request: call.request,
        authority: call.getHost(),
        deadlineInMs: Number(call.getDeadline()) - Date.now(),
        isCancelled: () => call.cancelled,
      })
      void Promise.resolve(answer(call.request)).then((given) => {
        if ('code' in given) callback(given as Refusal)
        else callback(null, given)
      })
    }
  }

  #serve(path: string, ownsFolder: boolean, service: Service): Promise<UnixServer> {
    return UnixServer.listen({
      path,
      services: [service],
      maxMessageBytes: 4 * 1024 * 1024,
      maxConnections: 100,
      ownsFolder,
      admits: () => true,
      clock: systemClock,
    })
  }
}

/** A socket file that refuses connections, as a killed process leaves it. */
export async function leaveDeadSocket(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  const bound = join(dirname(path), '.bound')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(bound, resolve))
  // Away from the name that close would unlink.
  await rename(bound, path)
  await new Promise((resolve) => server.close(resolve))
}

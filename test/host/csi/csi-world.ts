import { mkdirSync } from 'node:fs'
import type { Socket } from 'node:net'
import { status, type CallOptions, type ClientUnaryCall, type ServiceError } from '@grpc/grpc-js'
import type { ExecutionContext } from 'ava'
import type { Clock } from '../../../src/core/clock.ts'
import { systemClock } from '../../../src/core/clock.ts'
import type { LatchkeyError } from '../../../src/core/errors.ts'
import type { VolumeRequest } from '../../../src/core/types.ts'
import { volumeIdOf } from '../../../src/core/volume-id.ts'
import {
  CsiServer,
  csiSocketPath,
  registrationSocketPath,
} from '../../../src/host/csi/csi-server.ts'
import type { RegistrationState } from '../../../src/host/csi/csi-server.ts'
import type { VolumePort } from '../../../src/host/csi/volume-port.ts'
import type { VolumeRef, VolumeStats } from '../../../src/host/volume/volume-store.ts'
import { createLogger } from '../../../src/observability/log.ts'
import { loadCsi, loadRegistration } from '../../../src/wire/protos.ts'
import { unixChannel } from '../../../src/wire/unix-channel.ts'
import type { NodePublishVolumeRequest } from '../../../src/wire/gen/csi/v1/NodePublishVolumeRequest.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { POD_UID } from '../../support/volume-requests.ts'

export const DRIVER = 'csi.latchkey.dev'
export const VOLUME_NAME = 'db'
export const VOLUME_ID = volumeIdOf(POD_UID, VOLUME_NAME)
export const TOKENS_KEY = 'csi.storage.k8s.io/serviceAccount.tokens'

const MAX_CLIENT_MESSAGE_BYTES = 16 * 1024 * 1024

/** The host's story in one map: remembers what was published, fails when told to. */
export class FakeVolumes implements VolumePort {
  readonly published: VolumeRequest[] = []
  readonly unpublished: VolumeRef[] = []
  /** Why each call that could not be read was one. */
  readonly revisits: string[] = []
  readonly #there = new Map<string, string>()
  fails: LatchkeyError | undefined
  /** While set, a publish waits for this, or for its caller to hang up. */
  holds: Promise<void> | undefined

  async publish(request: VolumeRequest, signal: AbortSignal): Promise<void> {
    this.published.push(request)
    if (this.fails !== undefined) throw this.fails
    if (this.holds !== undefined) await Promise.race([this.holds, rejectOn(signal)])
    this.#there.set(request.volumeId, request.targetPath)
  }

  revisit({ volumeId, targetPath }: VolumeRef, why: LatchkeyError): boolean {
    if (this.#there.get(volumeId) !== targetPath) return false
    this.revisits.push(why.reason)
    return true
  }

  unpublish(volume: VolumeRef): Promise<void> {
    this.unpublished.push(volume)
    if (this.fails !== undefined) return Promise.reject(this.fails)
    this.#there.delete(volume.volumeId)
    return Promise.resolve()
  }

  stats({ volumeId, targetPath }: VolumeRef): VolumeStats | undefined {
    if (this.#there.get(volumeId) !== targetPath) return undefined
    return {
      bytes: { total: 1_048_576, used: 12_288, available: 1_036_288 },
      inodes: { total: 64, used: 9, available: 55 },
    }
  }
}

export interface CsiWorld {
  readonly kubeletRoot: string
  readonly csiSocket: string
  readonly registrationSocket: string
  readonly targetPath: string
  readonly volumes: FakeVolumes
  readonly server: CsiServer
  readonly registrations: RegistrationState[]
  readonly done: string[]
  readonly logs: string[]
}

export interface WorldChanges {
  readonly clock?: Clock
  readonly admits?: (socket: Socket) => boolean
}

/** A kubelet root of the test's own with the driver listening in it. */
export async function csiWorld(t: ExecutionContext, changes: WorldChanges = {}): Promise<CsiWorld> {
  const kubeletRoot = tempDir(t)
  mkdirSync(`${kubeletRoot}/plugins_registry`, { mode: 0o750 })
  const volumes = new FakeVolumes()
  const registrations: RegistrationState[] = []
  const done: string[] = []
  const logs: string[] = []
  const server = await CsiServer.start({
    driver: DRIVER,
    version: '1.2.3',
    nodeName: 'node-1',
    kubeletRoot,
    maxConnections: 256,
    volumes,
    clock: changes.clock ?? systemClock,
    log: createLogger({
      level: 'debug',
      side: 'host',
      write: (line) => {
        logs.push(line)
      },
    }),
    onDone: (method, error) => {
      done.push(`${method} ${error?.reason ?? 'OK'}`)
    },
    onRegistration: (state) => {
      registrations.push(state)
    },
    admits: changes.admits ?? (() => true),
  })
  t.teardown(() => server.stop())
  return {
    kubeletRoot,
    csiSocket: csiSocketPath(kubeletRoot, DRIVER),
    registrationSocket: registrationSocketPath(kubeletRoot, DRIVER),
    targetPath: targetPathIn(kubeletRoot),
    volumes,
    server,
    registrations,
    done,
    logs,
  }
}

export function targetPathIn(kubeletRoot: string): string {
  return `${kubeletRoot}/pods/${POD_UID}/volumes/kubernetes.io~csi/${VOLUME_NAME}/mount`
}

/** What kubelet sends for pod shop/api-0 with `secret: db`. */
export function publishRequest(kubeletRoot: string): NodePublishVolumeRequest & {
  secrets: Record<string, Buffer>
  volumeContext: Record<string, Buffer>
} {
  return {
    volumeId: VOLUME_ID,
    targetPath: targetPathIn(kubeletRoot),
    volumeCapability: {
      mount: { fsType: '', mountFlags: [], volumeMountGroup: '' },
      accessMode: { mode: 'SINGLE_NODE_WRITER' },
    },
    readonly: true,
    secrets: { [TOKENS_KEY]: tokensJson() },
    volumeContext: {
      secret: Buffer.from('db'),
      'csi.storage.k8s.io/pod.name': Buffer.from('api-0'),
      'csi.storage.k8s.io/pod.namespace': Buffer.from('shop'),
      'csi.storage.k8s.io/pod.uid': Buffer.from(POD_UID),
      'csi.storage.k8s.io/serviceAccount.name': Buffer.from('api'),
      'csi.storage.k8s.io/ephemeral': Buffer.from('true'),
    },
  }
}

export function tokensJson(
  tokens: Readonly<Record<string, unknown>> = {
    latchkey: { token: 'aGVhZA.Ym9keQ.c2ln', expirationTimestamp: '2026-01-01T00:10:00Z' },
    '': { token: 'aGVhZA.YXBp.c2ln', expirationTimestamp: '2026-01-01T01:00:00Z' },
  },
): Buffer {
  return Buffer.from(JSON.stringify(tokens))
}

export interface Caller {
  /** Answers the response; the signal cancels the call. Rejects with a ServiceError. */
  call(method: string, request: object, signal?: AbortSignal): Promise<unknown>
}

const CALL_TIMEOUT_MS = 10_000

/** A client of one service on a socket, closed with the test. */
export function callerOf(
  t: ExecutionContext,
  socketPath: string,
  service: 'Identity' | 'Node' | 'Registration',
): Caller {
  const { target, credentials, options } = unixChannel(socketPath, MAX_CLIENT_MESSAGE_BYTES)
  const { Identity, Node } = loadCsi()
  const { Registration } = loadRegistration()
  const client = new { Identity, Node, Registration }[service](target, credentials, options)
  t.teardown(() => {
    client.close()
  })
  type Unary = (
    request: object,
    options: CallOptions,
    callback: (error: ServiceError | null, response?: unknown) => void,
  ) => ClientUnaryCall
  return {
    call(method, request, signal) {
      const unary = (client as unknown as Readonly<Record<string, Unary | undefined>>)[method]
      if (unary === undefined) throw new TypeError(`no method ${method}`)
      return new Promise((resolve, reject) => {
        const deadline = Date.now() + CALL_TIMEOUT_MS
        const call = unary.call(client, request, { deadline }, (error, response) => {
          if (error === null) resolve(response)
          else reject(error)
        })
        signal?.addEventListener('abort', () => {
          call.cancel()
        })
      })
    },
  }
}

export interface Answer {
  readonly code: string
  readonly message: string
}

/** How a call ended, in the words of gRPC. */
export async function answerTo(call: Promise<unknown>): Promise<Answer> {
  try {
    await call
    return { code: 'OK', message: '' }
  } catch (thrown) {
    const { code, details } = thrown as ServiceError
    return { code: status[code], message: details }
  }
}

function rejectOn(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error)
    })
  })
}

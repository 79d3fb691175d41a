import type { CallOptions, ClientUnaryCall, requestCallback } from '@grpc/grpc-js'
import type { Clock } from '../core/clock.ts'
import type { NodeClient } from '../wire/gen/csi/v1/Node.ts'
import type { NodeGetInfoResponse__Output } from '../wire/gen/csi/v1/NodeGetInfoResponse.ts'
import type { NodePublishVolumeRequest } from '../wire/gen/csi/v1/NodePublishVolumeRequest.ts'
import { loadCsi } from '../wire/protos.ts'
import { unixChannel } from '../wire/unix-channel.ts'
import { callUnary } from './rpc.ts'
import type { RpcBounds, RpcResult } from './rpc.ts'

/** Where to call, and for how long at most. */
export type CsiCall = Omit<RpcBounds, 'clock'>

export interface UnpublishRequest {
  readonly volumeId: string
  readonly targetPath: string
}

// kubelet does not limit what it sends, and takes grpc-go's default.
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024

type Method<T> = (
  client: NodeClient,
  options: CallOptions,
  callback: requestCallback<T>,
) => ClientUnaryCall

/** A CSI driver's node service, called as kubelet calls it: each time over a new connection. */
export class CsiClient {
  readonly #clock: Clock
  readonly #csi = loadCsi()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  getInfo(call: CsiCall): Promise<RpcResult<NodeGetInfoResponse__Output>> {
    return this.#call(call, (client, options, callback) =>
      client.nodeGetInfo({}, options, callback),
    )
  }

  /** Such as VOLUME_MOUNT_GROUP. */
  async getCapabilities(call: CsiCall): Promise<RpcResult<readonly string[]>> {
    const { value, failure } = await this.#call<{ capabilities: Capabilities }>(
      call,
      (client, options, callback) => client.nodeGetCapabilities({}, options, callback),
    )
    if (failure !== undefined) return { value: undefined, failure }
    const names = value.capabilities.map(({ rpc }) => rpc?.type ?? '')
    return { value: names, failure: undefined }
  }

  publish(call: CsiCall, request: NodePublishVolumeRequest): Promise<RpcResult<object>> {
    return this.#call(call, (client, options, callback) =>
      client.nodePublishVolume(request, options, callback),
    )
  }

  unpublish(call: CsiCall, request: UnpublishRequest): Promise<RpcResult<object>> {
    return this.#call(call, (client, options, callback) =>
      client.nodeUnpublishVolume(request, options, callback),
    )
  }

  async #call<T>(call: CsiCall, method: Method<T>): Promise<RpcResult<T>> {
    const { target, credentials, options } = unixChannel(call.socketPath, MAX_MESSAGE_BYTES)
    const client = new this.#csi.Node(target, credentials, options)
    try {
      return await callUnary<T>({ ...call, clock: this.#clock }, (bounds, callback) =>
        method(client, bounds, callback),
      )
    } finally {
      client.close()
    }
  }
}

type Capabilities = readonly { readonly rpc?: { readonly type: string } | null }[]

import type { CallOptions } from '@grpc/grpc-js'
import type { DaemonMessage__Output } from './gen/latchkey/mount/v1/DaemonMessage.ts'
import type { Received__Output } from './gen/latchkey/mount/v1/Received.ts'
import type { ShimMessage } from './gen/latchkey/mount/v1/ShimMessage.ts'
import type { ShimReport } from './gen/latchkey/mount/v1/ShimReport.ts'
import { MAX_MOUNT_MESSAGE_BYTES } from './limits.ts'
import { MessageStream } from './message-stream.ts'
import { loadMount } from './protos.ts'
import { unixChannel } from './unix-channel.ts'

export interface MountClient {
  /** Opens a call; it fails with DaemonUnavailable where nobody listens. */
  mount(signal: AbortSignal): MessageStream<DaemonMessage__Output, ShimMessage>
  report(signal: AbortSignal): MessageStream<Received__Output, ShimReport>
  close(): void
}

/** A shim's client of the mount API. Connects when it is first used, and again whenever it has to. */
export function createMountClient(socketPath: string): MountClient {
  const channel = unixChannel(socketPath, MAX_MOUNT_MESSAGE_BYTES)
  const { MountService } = loadMount()
  const client = new MountService(channel.target, channel.credentials, channel.options)
  // Without a deadline: a stream lives as long as its volume.
  const options: CallOptions = {}
  return {
    mount(signal) {
      const call = client.mount(options)
      cancelOnAbort(call, signal)
      return new MessageStream(call)
    },
    report(signal) {
      const call = client.report(options)
      cancelOnAbort(call, signal)
      return new MessageStream(call)
    },
    close() {
      client.close()
    },
  }
}

function cancelOnAbort(
  call: { cancel(): void; once(event: 'close', listener: () => void): unknown },
  signal: AbortSignal,
): void {
  const cancel = (): void => {
    call.cancel()
  }
  if (signal.aborted) cancel()
  signal.addEventListener('abort', cancel, { once: true })
  call.once('close', () => {
    signal.removeEventListener('abort', cancel)
  })
}

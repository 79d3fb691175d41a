import { status, type CallOptions, type ChannelCredentials, type ServiceError } from '@grpc/grpc-js'
import { LatchkeyError } from '../core/errors.ts'
import type { DaemonMessage__Output } from './gen/latchkey/mount/v1/DaemonMessage.ts'
import type { DiagnoseResponse__Output } from './gen/latchkey/mount/v1/DiagnoseResponse.ts'
import type { ListResponse__Output } from './gen/latchkey/mount/v1/ListResponse.ts'
import type { Received__Output } from './gen/latchkey/mount/v1/Received.ts'
import type { RefreshRequest } from './gen/latchkey/mount/v1/RefreshRequest.ts'
import type { RefreshResponse__Output } from './gen/latchkey/mount/v1/RefreshResponse.ts'
import type { ShimMessage } from './gen/latchkey/mount/v1/ShimMessage.ts'
import type { ShimReport } from './gen/latchkey/mount/v1/ShimReport.ts'
import { MAX_MOUNT_MESSAGE_BYTES } from './limits.ts'
import { MessageStream } from './message-stream.ts'
import { loadMount } from './protos.ts'
import { fromServiceError } from './status.ts'
import { unixChannel } from './unix-channel.ts'

export interface MountClient {
  /** Opens a call; it fails with DaemonUnavailable where nobody listens. */
  mount(signal: AbortSignal): MessageStream<DaemonMessage__Output, ShimMessage>
  report(signal: AbortSignal): MessageStream<Received__Output, ShimReport>
  /**
   * The three questions of the command line. Beyond `timeoutMs` they are given up.
   * Throws: the reasons of the mount API · DaemonUnavailable · Timeout · Unsupported (a daemon that is older).
   */
  list(timeoutMs: number): Promise<ListResponse__Output>
  refresh(request: RefreshRequest, timeoutMs: number): Promise<RefreshResponse__Output>
  diagnose(timeoutMs: number): Promise<DiagnoseResponse__Output>
  close(): void
}

/**
 * A client of the mount API. Connects when it is first used, and again whenever it has to; with `vetted`
 * credentials, to the expected daemon only.
 */
export function createMountClient(socketPath: string, vetted?: ChannelCredentials): MountClient {
  const channel = unixChannel(socketPath, MAX_MOUNT_MESSAGE_BYTES, vetted)
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
    list: (timeoutMs) => answer((done) => client.list({}, until(timeoutMs), done)),
    refresh: (request, timeoutMs) =>
      answer((done) => client.refresh(request, until(timeoutMs), done)),
    diagnose: (timeoutMs) => answer((done) => client.diagnose({}, until(timeoutMs), done)),
    close() {
      client.close()
    },
  }
}

function until(timeoutMs: number): CallOptions {
  return { deadline: Date.now() + timeoutMs }
}

type Done<T> = (error: ServiceError | null, response?: T) => void

function answer<T>(ask: (done: Done<T>) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    ask((error, response) => {
      if (error?.code === status.UNIMPLEMENTED) reject(otherVersion())
      else if (error !== null) reject(fromServiceError(error))
      else if (response === undefined) reject(new LatchkeyError('Internal', 'an empty answer'))
      else resolve(response)
    })
  })
}

/** Both sides of a pod come from one image, but a rollout or a development tree may mix them. */
function otherVersion(): LatchkeyError {
  const what = 'the daemon does not know this call: it is of another version than this program'
  return new LatchkeyError('Unsupported', what)
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

import type { Socket } from 'node:net'
import type { Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { MountServiceHandlers } from '../../wire/gen/latchkey/mount/v1/MountService.ts'
import { MAX_MOUNT_MESSAGE_BYTES } from '../../wire/limits.ts'
import { MessageStream } from '../../wire/message-stream.ts'
import { loadMount } from '../../wire/protos.ts'
import { toServiceError } from '../../wire/status.ts'
import { UnixServer } from '../../wire/unix-server.ts'
import type { RefreshRequest__Output } from '../../wire/gen/latchkey/mount/v1/RefreshRequest.ts'
import type { Finding } from '../../wire/finding.ts'
import { unary, type UnaryOptions } from '../../wire/unary.ts'
import { giveBackForgotten } from './give-back.ts'
import { listVolumes } from './listing.ts'
import { mount } from './mount.ts'
import { refreshVolumes } from './refresh-volumes.ts'
import type { ShimReports } from './shim-reports.ts'
import type { Stages } from './stages.ts'

export interface MountServerOptions {
  readonly path: string
  readonly stages: Stages
  readonly reports: ShimReports
  readonly version: string
  readonly diagnose: (signal: AbortSignal) => Promise<readonly Finding[]>
  readonly clock: Clock
  readonly maxConnections: number
  /** Whether a peer is a shim at all; which pod it speaks for is another question. */
  readonly admits: (socket: Socket) => boolean
}

type Streams = Set<Pick<MessageStream<unknown, unknown>, 'end' | 'fail'>>

export interface MountServer {
  /** Reports whether the socket lies where shims look for it. */
  isInPlace(): boolean
  /** Ends every stream with ShuttingDown, then the socket; sessions are left for the next process. */
  close(): Promise<void>
}

/** For a call that is no stream; a refresh of a volume takes half of it at most. */
const CALL_TIMEOUT_MS = 60_000
/** Time for the last words to leave. */
const DRAIN_MS = 1_000

/** Serves the mount API on its socket. */
export async function listenForShims(options: MountServerOptions): Promise<MountServer> {
  const { path, clock, maxConnections, admits } = options
  const open: Streams = new Set()
  const handlers = handlersOf(options, open)
  const server = await UnixServer.listen({
    path,
    services: [{ definition: loadMount().MountService.service, handlers }],
    maxMessageBytes: MAX_MOUNT_MESSAGE_BYTES,
    maxConnections,
    ownsFolder: true,
    admits,
    clock,
  })
  return {
    isInPlace: () => server.isInPlace(),
    async close() {
      const stopping = new LatchkeyError('ShuttingDown', 'the daemon is stopping')
      for (const stream of open) stream.fail(toServiceError(stopping))
      await server.close(DRAIN_MS)
    },
  }
}

function handlersOf(options: MountServerOptions, open: Streams): MountServiceHandlers {
  const { stages, reports, version, diagnose, clock } = options
  const calls: UnaryOptions = { clock, timeoutMs: CALL_TIMEOUT_MS, onDone: () => undefined }
  return {
    Mount(call) {
      const stream = new MessageStream(call)
      finish(stream, open, mount(stream, stages), (error) => {
        stages.metrics.countMount(error?.reason)
        if (error === undefined || stream.closed.aborted) return
        stages.log.info({ reason: error.reason, err: error }, 'mount stream ended')
      })
    },

    Report(call) {
      const stream = new MessageStream(call)
      const following = reports.follow(stream.receive(), () => {
        void giveBackForgotten(reports.held, stages)
        return stream.send({})
      })
      finish(stream, open, following, () => undefined)
    },

    List: unary('List', calls, () => ({
      volumes: [...listVolumes(stages.sessions.list(), reports.held)],
    })),

    Refresh: unary('Refresh', calls, async (request: RefreshRequest__Output, signal) => {
      const sessions = stages.sessions.list().map(({ session }) => session)
      return { volumes: [...(await refreshVolumes(request, sessions, clock, signal))] }
    }),

    Diagnose: unary('Diagnose', calls, async (_request, signal) => ({
      version,
      findings: [...(await diagnose(signal))],
    })),
  }
}

/** Ends the call as its work ended. */
function finish(
  stream: Pick<MessageStream<unknown, unknown>, 'end' | 'fail'>,
  open: Streams,
  work: Promise<void>,
  onEnd: (error: LatchkeyError | undefined) => void,
): void {
  open.add(stream)
  void work.finally(() => open.delete(stream)).catch(() => undefined)
  work.then(
    () => {
      onEnd(undefined)
      stream.end()
    },
    (thrown: unknown) => {
      const error = LatchkeyError.from(thrown)
      onEnd(error)
      stream.fail(toServiceError(error))
    },
  )
}

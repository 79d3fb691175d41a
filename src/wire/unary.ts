import type { sendUnaryData, ServerUnaryCall } from '@grpc/grpc-js'
import type { Clock } from '../core/clock.ts'
import { withDeadline } from '../core/deadline.ts'
import { LatchkeyError } from '../core/errors.ts'
import { toServiceError } from './status.ts'

export interface UnaryOptions {
  readonly clock: Clock
  /** Beyond this the caller is answered Timeout, whatever its own deadline allows. */
  readonly timeoutMs: number
  /** Called once per call, with undefined for success. */
  readonly onDone: (method: string, error: LatchkeyError | undefined, durationMs: number) => void
}

/** The grpc-js handler of an async function; its signal aborts when the caller hangs up or time is up. */
export function unary<Request, Response>(
  method: string,
  options: UnaryOptions,
  handle: (request: Request, signal: AbortSignal) => Promise<Response> | Response,
): (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>) => void {
  return (call, callback) => {
    const startedMs = options.clock.now()
    const hungUp = new AbortController()
    const onCancelled = (): void => {
      hungUp.abort(new LatchkeyError('Timeout', 'the caller hung up'))
    }
    call.once('cancelled', onCancelled)
    const done = (error?: LatchkeyError): void => {
      // grpc-js says so of a call that has been answered, too.
      call.removeListener('cancelled', onCancelled)
      options.onDone(method, error, options.clock.now() - startedMs)
    }
    withDeadline(options.clock, options.timeoutMs, method, hungUp.signal, async (signal) =>
      handle(call.request, signal),
    ).then(
      (response) => {
        done()
        callback(null, response)
      },
      (thrown: unknown) => {
        const error = LatchkeyError.from(thrown)
        done(error)
        callback(toServiceError(error))
      },
    )
  }
}

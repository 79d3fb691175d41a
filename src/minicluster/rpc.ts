import type { CallOptions, ClientUnaryCall, requestCallback, ServiceError } from '@grpc/grpc-js'
import type { Clock } from '../core/clock.ts'

/** A gRPC error as kubelet words it. */
export interface RpcFailure {
  readonly code: number
  readonly details: string
}

export type RpcResult<T> =
  | { readonly value: T; readonly failure: undefined }
  | { readonly value: undefined; readonly failure: RpcFailure }

export interface RpcBounds {
  readonly clock: Clock
  readonly socketPath: string
  readonly timeoutMs: number
  /** Hangs up. */
  readonly signal: AbortSignal
}

type Start<T> = (options: CallOptions, callback: requestCallback<T>) => ClientUnaryCall

const CANCELLED = 1
const DEADLINE_EXCEEDED = 4
const UNAVAILABLE = 14

/** One call under a deadline that also travels to the server. Never rejects. */
export function callUnary<T>(bounds: RpcBounds, start: Start<T>): Promise<RpcResult<T>> {
  const { clock, socketPath, timeoutMs, signal } = bounds
  return new Promise((resolve) => {
    // gRPC counts its deadline by the machine's clock; the injected one may run differently.
    const options: CallOptions = { deadline: new Date(Date.now() + timeoutMs) }
    let failure: RpcFailure | undefined
    const hangUp = (why: RpcFailure): void => {
      failure = why
      call.cancel()
    }
    const onAbort = (): void => {
      hangUp({ code: CANCELLED, details: 'context canceled' })
    }
    const call = start(options, (error, value) => {
      cancelTimer()
      signal.removeEventListener('abort', onAbort)
      if (error === null && value !== undefined) resolve({ value, failure: undefined })
      else resolve({ value: undefined, failure: failure ?? failureOf(error, socketPath) })
    })
    const cancelTimer = clock.after(timeoutMs, () => {
      hangUp({ code: DEADLINE_EXCEEDED, details: 'context deadline exceeded' })
    })
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
  })
}

/** `rpc error: code = NotFound desc = ...`, which kubelet puts into events word for word. */
export function formatFailure({ code, details }: RpcFailure): string {
  return `rpc error: code = ${CODE_NAMES[code] ?? `Code(${code})`} desc = ${details}`
}

/**
 * Whether the driver may still be at work after this code, so that kubelet will unpublish; after every
 * other it forgets the volume.
 */
export function isUncertain({ code }: RpcFailure): boolean {
  return UNCERTAIN.has(code)
}

// google.golang.org/grpc/codes, in the order of their numbers.
const CODE_NAMES = [
  'OK',
  'Canceled',
  'Unknown',
  'InvalidArgument',
  'DeadlineExceeded',
  'NotFound',
  'AlreadyExists',
  'PermissionDenied',
  'ResourceExhausted',
  'FailedPrecondition',
  'Aborted',
  'OutOfRange',
  'Unimplemented',
  'Internal',
  'Unavailable',
  'DataLoss',
  'Unauthenticated',
]

const UNCERTAIN: ReadonlySet<number> = new Set([
  CANCELLED,
  DEADLINE_EXCEEDED,
  CODE_NAMES.indexOf('ResourceExhausted'),
  CODE_NAMES.indexOf('Aborted'),
  UNAVAILABLE,
])

const CONNECT_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ECONNREFUSED: 'connection refused',
  EACCES: 'permission denied',
}

/** What grpc-js says by itself, in grpc-go's words. */
function failureOf(error: ServiceError | null, socketPath: string): RpcFailure {
  if (error === null) return { code: CODE_NAMES.indexOf('Internal'), details: 'no message' }
  const { details } = error
  const code: number = error.code
  if (code === DEADLINE_EXCEEDED && details.startsWith('Deadline exceeded')) {
    return { code, details: 'context deadline exceeded' }
  }
  if (code !== UNAVAILABLE) return { code, details }
  if (details.startsWith('No connection established')) {
    const errno = /\b(ENOENT|ECONNREFUSED|EACCES)\b/.exec(details)?.[1] ?? ''
    const why = CONNECT_ERRORS[errno] ?? 'connection reset by peer'
    const dial = `transport: Error while dialing: dial unix ${socketPath}: connect: ${why}`
    return { code, details: `connection error: desc = "${dial}"` }
  }
  return details === 'Connection dropped'
    ? { code, details: 'error reading from server: EOF' }
    : { code, details }
}

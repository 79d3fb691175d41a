import { status, type ServiceError, type StatusObject } from '@grpc/grpc-js'
import { isReason, LatchkeyError, type Reason } from '../core/errors.ts'

/**
 * The code that goes with a reason. kubelet forgets a volume after a final code, and unpublishes it later
 * after one that leaves room for bytes to land still (CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE,
 * RESOURCE_EXHAUSTED, ABORTED): chosen by "could bytes still land?".
 */
export const CODES: Readonly<Record<Reason, status>> = {
  InvalidRequest: status.INVALID_ARGUMENT,
  TokenMissing: status.UNAUTHENTICATED,
  TokenRejected: status.UNAUTHENTICATED,
  PodMismatch: status.PERMISSION_DENIED,
  AccessDenied: status.PERMISSION_DENIED,
  SecretNotFound: status.NOT_FOUND,
  VolumeConflict: status.ALREADY_EXISTS,
  VolumeNotFound: status.NOT_FOUND,
  UnknownSession: status.FAILED_PRECONDITION,
  PayloadTooLarge: status.FAILED_PRECONDITION,
  Unsupported: status.FAILED_PRECONDITION,
  OperationPending: status.ABORTED,
  SourceUnavailable: status.UNAVAILABLE,
  KubeUnavailable: status.UNAVAILABLE,
  DaemonUnavailable: status.UNAVAILABLE,
  ShuttingDown: status.UNAVAILABLE,
  Timeout: status.DEADLINE_EXCEEDED,
  Overloaded: status.RESOURCE_EXHAUSTED,
  VolumeIo: status.INTERNAL,
  Internal: status.INTERNAL,
}

const MAX_MESSAGE_CHARS = 1024

/** What goes out: `Reason: text`, details empty as the CSI spec asks. */
export function toServiceError(thrown: unknown): Pick<StatusObject, 'code' | 'details'> {
  const error = LatchkeyError.from(thrown)
  const code = error.leftMounted ? status.UNAVAILABLE : CODES[error.reason]
  return { code, details: `${error.reason}: ${presentable(error.message)}` }
}

/** What came in; anything not in our words, such as grpc-js's own text, is said in ours. */
export function fromServiceError(thrown: unknown): LatchkeyError {
  if (thrown instanceof LatchkeyError) return thrown
  if (!isServiceError(thrown)) return LatchkeyError.from(thrown)
  const [, word = '', text = ''] = /^([A-Za-z]+): (.*)$/s.exec(thrown.details) ?? []
  if (isReason(word)) return new LatchkeyError(word, text)
  switch (thrown.code) {
    case status.RESOURCE_EXHAUSTED:
      return new LatchkeyError('PayloadTooLarge', 'a message is larger than the other side takes')
    case status.DEADLINE_EXCEEDED:
      return new LatchkeyError('Timeout', 'the other side did not answer in time')
    case status.CANCELLED:
    case status.UNAVAILABLE:
      return new LatchkeyError('DaemonUnavailable', 'the Latchkey daemon on this node is not there')
    default:
      return new LatchkeyError('Internal', 'the other side failed', { cause: thrown })
  }
}

function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && 'code' in thrown && 'details' in thrown
}

/**
 * Lines are kept, for events show them; what could forge or garble a line of a log is not. Well-formed
 * after the cut and not before it: half a surrogate pair has grpc-js throw where nobody can catch it.
 */
function presentable(text: string): string {
  const cut = text.length > MAX_MESSAGE_CHARS ? `${text.slice(0, MAX_MESSAGE_CHARS)}…` : text
  return cut.toWellFormed().replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, '?')
}

import { LatchkeyError, type Reason } from '../core/errors.ts'

/** An error as it may be shown: nothing in it was written by somebody else. */
export interface DescribedError {
  readonly reason: Reason
  readonly message: string
  /** What led to it, nearest first. */
  readonly causes: readonly string[]
}

export interface DescribeOptions {
  /** Adds where each cause was thrown, call by call. */
  readonly withStack: boolean
}

const MAX_CAUSES = 5
const MAX_FRAMES = 12
/** What Node, OpenSSL and our own errors put into `code`, `syscall` and `call`. */
const CODE = /^[A-Za-z][A-Za-z0-9_]{0,63}$/
/** A line of V8's stack that names a place in a file or in Node. */
const FRAME = /^\s+at (?:[^()\n]+ \()?(?:file:|node:|\/)[^()\s]*:\d+:\d+\)?$/

/**
 * Takes an error apart for a log line. Our own messages are told in full, for they never hold a value;
 * a foreign error only by its name, its code and where it was thrown, because its text may quote what
 * it choked on.
 */
export function describeError(thrown: unknown, { withStack }: DescribeOptions): DescribedError {
  const error = LatchkeyError.from(thrown)
  // A bug is told from where it was thrown, even where nobody asked for stacks.
  const frames = withStack || error.reason === 'Internal' ? MAX_FRAMES : 0
  const causes = [...causesOf(error)].map((cause) => describeCause(cause, frames))
  const own = causes.length === 0 && frames > 0 ? framesOf(error, frames) : []
  return { reason: error.reason, message: error.message, causes: [...causes, ...own] }
}

function* causesOf(error: Error): Generator {
  const seen = new Set<unknown>([error])
  for (let { cause } = error; cause !== undefined && !seen.has(cause);) {
    if (seen.size > MAX_CAUSES) return
    seen.add(cause)
    yield cause
    cause = cause instanceof Error ? cause.cause : undefined
  }
}

function describeCause(cause: unknown, frames: number): string {
  if (!(cause instanceof Error)) return `thrown: ${typeof cause}`
  const what =
    cause instanceof LatchkeyError
      ? `${cause.reason}: ${cause.message}`
      : [nameOf(cause), ...codesOf(cause)].join(' ')
  return [what, ...framesOf(cause, frames)].join('\n')
}

function nameOf({ name }: Error): string {
  return CODE.test(name) ? name : 'Error'
}

function codesOf(error: Error): readonly string[] {
  const { syscall, call, code } = error as { syscall?: unknown; call?: unknown; code?: unknown }
  return [syscall, call, code].filter(
    (word) => typeof word === 'string' && CODE.test(word),
  ) as string[]
}

/** The stack begins with the message, whose lines are not taken for frames. */
function framesOf({ stack = '', message }: Error, most: number): readonly string[] {
  const start = stack.indexOf(message)
  if (start < 0) return []
  const lines = stack.slice(start + message.length).split('\n')
  return lines.filter((line) => FRAME.test(line)).slice(0, most)
}

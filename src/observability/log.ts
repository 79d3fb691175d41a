import pino from 'pino'
import { LatchkeyError } from '../core/errors.ts'

export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug'

/** The fields of a log line; the same name means the same thing everywhere. */
export interface LogFields {
  readonly err?: LatchkeyError
  readonly reason?: string
  readonly volumeId?: string
  readonly namespace?: string
  readonly pod?: string
  readonly generation?: number
  readonly method?: string
  readonly durationMs?: number
  readonly path?: string
  readonly count?: number
  readonly version?: string
  readonly node?: string
}

/** Messages are constant, lower case and in the past tense; what varies is a field. */
export interface Logger {
  child(fields: LogFields): Logger
  error(fields: LogFields, message: string): void
  warn(fields: LogFields, message: string): void
  info(fields: LogFields, message: string): void
  debug(fields: LogFields, message: string): void
}

export interface LogOptions {
  readonly level: LogLevel
  readonly side: 'host' | 'daemon'
  /** Where lines go; a test looks at them. */
  readonly write?: (line: string) => void
}

/** JSON lines on standard output, written before the call returns, so that a crash loses none. */
export function createLogger({ level, side, write }: LogOptions): Logger {
  const destination =
    write === undefined ? pino.destination({ dest: 1, sync: true }) : { write }
  return pino(
    {
      level,
      base: { side },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: describeError },
    },
    destination,
  )
}

/** The chain of causes by name and code only: a foreign error's text may quote what it choked on. */
function describeError(thrown: unknown): object {
  const error = LatchkeyError.from(thrown)
  return { reason: error.reason, message: error.message, causes: causesOf(error) }
}

function causesOf(error: Error): readonly string[] {
  const causes: string[] = []
  let { cause } = error
  while (cause instanceof Error && causes.length < 5) {
    const code = 'code' in cause && typeof cause.code === 'string' ? ` ${cause.code}` : ''
    causes.push(`${cause.name}${code}${firstFrame(cause)}`)
    cause = cause.cause
  }
  return causes
}

/** Where it was thrown tells a bug; the stack's first line would repeat the message. */
function firstFrame({ stack = '' }: Error): string {
  const frame = /^\s+at .*$/m.exec(stack)?.[0].trim()
  return frame === undefined ? '' : ` ${frame}`
}

import pino from 'pino'
import { describeError } from './describe-error.ts'
import { FIELD_KINDS, type LogFields } from './log-fields.ts'

export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug'

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

const MAX_TEXT_CHARS = 4096
const CENSORED = '[redacted]'

/** JSON lines on standard output, written before the call returns, so that a crash loses none. */
export function createLogger({ level, side, write }: LogOptions): Logger {
  const destination = write === undefined ? pino.destination({ dest: 1, sync: true }) : { write }
  const options = {
    level,
    base: { side },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    // pino's own would add the type of what has been described already.
    serializers: { err: (described: unknown) => described },
  }
  return guarded(pino(options, destination))
}

/** Between our code and pino: nothing gets through that log-fields.ts does not know. */
function guarded(log: pino.Logger): Logger {
  const withStack = log.isLevelEnabled('debug')
  const writeAt =
    (level: 'error' | 'warn' | 'info' | 'debug') =>
    (fields: LogFields, message: string): void => {
      if (log.isLevelEnabled(level)) log[level](printable(fields, withStack), message)
    }
  return {
    child: (fields) => guarded(log.child(printable(fields, withStack))),
    error: writeAt('error'),
    warn: writeAt('warn'),
    info: writeAt('info'),
    debug: writeAt('debug'),
  }
}

/**
 * The second net under secrets; SecretBytes is the first. The types keep other things out of a log line, and
 * a cast past them ends here: an unknown field, a buffer, an object that was logged whole.
 */
function printable(fields: LogFields, withStack: boolean): Record<string, unknown> {
  const kinds: Readonly<Record<string, string | undefined>> = FIELD_KINDS
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]: [string, unknown]) => [name, printed(kinds[name], value, withStack)]),
  )
}

function printed(kind: string | undefined, value: unknown, withStack: boolean): unknown {
  if (kind === 'error') return describeError(value, { withStack })
  if (kind !== typeof value) return CENSORED
  if (typeof value !== 'string' || value.length <= MAX_TEXT_CHARS) return value
  return `${value.slice(0, MAX_TEXT_CHARS)}…`
}

import { url } from 'node:inspector'
import { LatchkeyError } from '../core/errors.ts'
import { overwriteFreedMemory } from '../syscalls/freed-memory.ts'
import { disableCoreDumps } from '../syscalls/hardening.ts'

/** How a process was started; process and node:inspector have it. */
export interface StartedAs {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly execArgv: readonly string[]
  /** Where a debugger may connect; undefined: nowhere. */
  readonly inspectorUrl: string | undefined
}

/**
 * Each has Node or grpc-js show or write what the process holds, or take anybody's word over TLS:
 * https://nodejs.org/docs/latest-v24.x/api/cli.html, and grpc-js's environment_variables.md.
 */
const VARIABLES = [
  'NODE_OPTIONS',
  'NODE_DEBUG',
  'NODE_DEBUG_NATIVE',
  'NODE_V8_COVERAGE',
  'NODE_TLS_REJECT_UNAUTHORIZED',
  'GRPC_TRACE',
  'GRPC_VERBOSITY',
  'GRPC_NODE_TRACE',
  'GRPC_NODE_VERBOSITY',
  'GRPC_NODE_DEBUG_SEND_ERROR_DETAILS',
]

/** Debuggers, dumps of memory on a signal or a crash, profiles with text in them, keys of TLS. */
const FLAGS =
  /^--(inspect|debug|report|heapsnapshot|heap-prof|cpu-prof|prof|perf|log|abort-on|diagnostic-dir|trace-tls|trace-event|tls-keylog|expose-internals)/

/**
 * To be called before the first secret is there: from here on no core is written, nobody but root reads this
 * process's memory, and memory that is freed is overwritten.
 *
 * Throws: InvalidRequest where the process was started for somebody to look inside.
 */
export function hardenProcess(): void {
  const { env, execArgv } = process
  refuseDebuggers({ env, execArgv, inspectorUrl: url() })
  disableCoreDumps()
  overwriteFreedMemory()
}

/** Throws: InvalidRequest, naming the variable or the flag. */
export function refuseDebuggers({ env, execArgv, inspectorUrl }: StartedAs): void {
  const variable = VARIABLES.find((name) => (env[name] ?? '') !== '')
  if (variable !== undefined) {
    throw refusal(`environment variable ${variable}: has to be left out`)
  }
  const flag = execArgv.find((argument) => FLAGS.test(argument.replaceAll('_', '-')))
  if (flag !== undefined) {
    const [name = ''] = flag.split('=', 1)
    throw refusal(`Node's flag ${name}: has to be left out`)
  }
  if (inspectorUrl !== undefined) throw refusal('a debugger is open: start without one')
}

function refusal(what: string): LatchkeyError {
  return new LatchkeyError(
    'InvalidRequest',
    `${what}; with it, what this process holds could be seen from outside`,
  )
}

import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import type { ProcessIdentity } from './processes.ts'
import { childrenOf, identify, isRunning, signalProcess, waitForEnd } from './processes.ts'
import type { Seal } from './seal.ts'
import { inside } from './seal.ts'
import { until } from './until.ts'

// The API server waits a minute for the watches that everybody has open; nobody else needs long.
const STOP_WITHIN_MS = 5_000

/** One program of the node, such as kubelet. */
export interface Service {
  readonly name: string
  /** Starts it; its output goes to a log of its name. Returns before it is ready. */
  start(): void
  /** SIGTERM, and SIGKILL when it will not. Returns when it has ended. */
  stop(): Promise<void>
  /** SIGKILL, as a crash. Returns when it has ended. */
  kill(): Promise<void>
  restart(): Promise<void>
  isRunning(): boolean
}

export interface ServicePlace {
  readonly seal: Seal
  /** Holds one file per running service, so that another process can stop what this one started. */
  readonly recordFolder: string
  readonly logFolder: string
}

/** The service of that name, started or not, by whichever process. */
export function describeService(
  place: ServicePlace,
  name: string,
  command: readonly string[],
): Service {
  const record = join(place.recordFolder, name)
  const service: Service = {
    name,
    start() {
      if (readRecord(record)) throw new Error(`${name} runs already`)
      mkdirSync(place.recordFolder, { recursive: true })
      writeFileSync(record, JSON.stringify(launch(place, name, command)))
    },
    async stop() {
      await end(record, 'SIGTERM')
    },
    async kill() {
      await end(record, 'SIGKILL')
    },
    async restart() {
      await service.stop()
      service.start()
    },
    isRunning() {
      return readRecord(record) !== undefined
    },
  }
  return service
}

/** Starts it and gives the process outside: the one that waits for the program inside. */
function launch(place: ServicePlace, name: string, command: readonly string[]): ProcessIdentity {
  const log = openSync(join(place.logFolder, `${name}.log`), 'a')
  try {
    const [file = '', ...args] = inside(place.seal, command)
    const child = spawn(file, args, { detached: true, stdio: ['ignore', log, log] })
    child.on('error', () => undefined)
    child.unref()
    const started = child.pid === undefined ? undefined : identify(child.pid)
    if (started === undefined) throw new Error(`${name} could not be started`)
    return started
  } finally {
    closeSync(log)
  }
}

async function end(record: string, name: NodeJS.Signals): Promise<void> {
  const outer = readRecord(record)
  if (outer === undefined) return
  // nsenter hands no signal on, so the program itself is sought out below it.
  const program = await until(() => (isRunning(outer) ? childrenOf(outer.pid)[0] : outer), {
    what: `${record} to have begun`,
    withinMs: 5_000,
    everyMs: 10,
  })
  signalProcess(program, name)
  try {
    await waitForEnd(outer, STOP_WITHIN_MS)
  } catch {
    signalProcess(program, 'SIGKILL')
    await waitForEnd(outer, STOP_WITHIN_MS)
  }
  rmSync(record, { force: true })
}

function readRecord(record: string): ProcessIdentity | undefined {
  let text: string
  try {
    text = readFileSync(record, 'utf8')
  } catch {
    return undefined
  }
  const identity = JSON.parse(text) as ProcessIdentity
  return isRunning(identity) ? identity : undefined
}

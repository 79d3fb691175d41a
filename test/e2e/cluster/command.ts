import { spawn } from 'node:child_process'
import { once } from 'node:events'

export interface CommandOptions {
  readonly input?: string | Buffer
  readonly env?: Record<string, string>
  readonly cwd?: string
  readonly signal?: AbortSignal
  readonly timeoutMs?: number
  /** What errors call it, where the command itself is mostly wrapping. */
  readonly label?: string
}

export interface CommandOutput {
  readonly stdout: Buffer
  readonly stderr: string
}

/** A command that ended with anything but 0, was ended by a signal, or took longer than it may. */
export class CommandFailed extends Error {
  readonly exitCode: number | null
  readonly stderr: string

  constructor(what: string, exitCode: number | null, stderr: string) {
    super(`${what}${stderr === '' ? '' : `\n${stderr}`}`)
    this.name = 'CommandFailed'
    this.exitCode = exitCode
    this.stderr = stderr
  }
}

const DEFAULT_TIMEOUT_MS = 60_000
const GRACE_MS = 3_000
const MAX_SHOWN_CHARS = 8_000

/**
 * Runs one command to its end and gives its output. Rejects with CommandFailed, or with the
 * signal's reason once the command is gone.
 */
export async function run(
  command: readonly string[],
  options: CommandOptions = {},
): Promise<CommandOutput> {
  options.signal?.throwIfAborted()
  const [file = '', ...args] = command
  // A session of its own: Ctrl-C in a terminal reaches the runner alone, which then ends its
  // commands one after the other instead of having them die under its hands.
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  const timeout = AbortSignal.timeout(options.timeoutMs ?? DEFAULT_TIMEOUT_MS)
  const ended = AbortSignal.any(options.signal ? [options.signal, timeout] : [timeout])
  const stop = (): void => {
    endGroup(child.pid)
  }
  ended.addEventListener('abort', stop)
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk))
  // A command that ends before it has read its input breaks the pipe; its exit code says enough.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input)
  try {
    const [exitCode, signalName] = (await once(child, 'close')) as [number | null, string | null]
    options.signal?.throwIfAborted()
    const said = Buffer.concat(stderr).toString()
    if (exitCode === 0) return { stdout: Buffer.concat(stdout), stderr: said }
    const how = timeout.aborted
      ? `took longer than ${options.timeoutMs ?? DEFAULT_TIMEOUT_MS} ms`
      : `ended with ${exitCode ?? signalName ?? 'nothing'}`
    const shown = said.length > MAX_SHOWN_CHARS ? `... ${said.slice(-MAX_SHOWN_CHARS)}` : said
    const label = options.label ?? command.join(' ')
    throw new CommandFailed(`${label.slice(0, 300)}: ${how}`, exitCode, shown.trim())
  } finally {
    ended.removeEventListener('abort', stop)
  }
}

/** The same, giving what the command printed as trimmed text. */
export async function capture(
  command: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  return (await run(command, options)).stdout.toString().trim()
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return
  signalGroup(pid, 'SIGTERM')
  setTimeout(() => {
    signalGroup(pid, 'SIGKILL')
  }, GRACE_MS).unref()
}

function signalGroup(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(-pid, name)
  } catch {
    // The group has ended by itself.
  }
}

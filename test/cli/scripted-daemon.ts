import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { COMMANDS } from '../../src/cli/commands.ts'
import { runCommandLine } from '../../src/cli/run-command-line.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { DiagnoseResponse } from '../../src/wire/gen/latchkey/mount/v1/DiagnoseResponse.ts'
import type { ListResponse } from '../../src/wire/gen/latchkey/mount/v1/ListResponse.ts'
import type { RefreshRequest__Output } from '../../src/wire/gen/latchkey/mount/v1/RefreshRequest.ts'
import type { RefreshResponse } from '../../src/wire/gen/latchkey/mount/v1/RefreshResponse.ts'
import { MAX_MOUNT_MESSAGE_BYTES } from '../../src/wire/limits.ts'
import { loadMount } from '../../src/wire/protos.ts'
import { unary, type UnaryOptions } from '../../src/wire/unary.ts'
import { UnixServer } from '../../src/wire/unix-server.ts'
import { tempDir } from '../support/temp-dir.ts'
import { RecordingTerminal } from './recording-terminal.ts'

/** What a test has the daemon answer; a throw goes over the wire as an error. */
export interface Script {
  readonly list?: () => ListResponse
  readonly refresh?: (request: RefreshRequest__Output) => RefreshResponse
  readonly diagnose?: () => DiagnoseResponse
  /** false: every caller is turned away, as one is who is not root. */
  readonly admits?: boolean
}

export interface Said {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A configuration file that names a socket, and whoever answers there. */
export interface CommandWorld {
  readonly folder: string
  readonly socket: string
  readonly config: string
  /** Runs a command with this configuration. */
  latchkey(...argv: readonly string[]): Promise<Said>
}

/** A daemon on a real socket that says what the test wants; without a script nobody listens. */
export async function worldWith(t: ExecutionContext, script?: Script): Promise<CommandWorld> {
  const folder = tempDir(t)
  const socket = join(folder, 'mount', 'mount.sock')
  const config = join(folder, 'config.yaml')
  writeFileSync(config, `sockets:\n  mount: ${socket}\n`)
  if (script !== undefined) {
    const server = await serve(socket, script)
    t.teardown(() => server.close(0))
  }
  return {
    folder,
    socket,
    config,
    async latchkey(...argv) {
      const terminal = new RecordingTerminal()
      const code = await runCommandLine([...argv, '--config', config], COMMANDS, terminal)
      return { code, stdout: terminal.stdout, stderr: terminal.stderr }
    },
  }
}

function serve(path: string, script: Script): Promise<UnixServer> {
  const options: UnaryOptions = { clock: systemClock, timeoutMs: 5_000, onDone: () => undefined }
  const { list, refresh, diagnose, admits = true } = script
  return UnixServer.listen({
    path,
    services: [
      {
        definition: loadMount().MountService.service,
        // What is not in the script is answered as by a daemon of an older version.
        handlers: {
          ...(list && { List: unary('List', options, list) }),
          ...(refresh && { Refresh: unary('Refresh', options, refresh) }),
          ...(diagnose && { Diagnose: unary('Diagnose', options, diagnose) }),
        },
      },
    ],
    maxMessageBytes: MAX_MOUNT_MESSAGE_BYTES,
    maxConnections: 16,
    ownsFolder: true,
    admits: () => admits,
    clock: systemClock,
  })
}

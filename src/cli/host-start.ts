import { LatchkeyError } from '../core/errors.ts'
import { MAX_USER_OR_GROUP_ID } from '../core/limits.ts'
import { hardenProcess } from './debuggers.ts'
import { leaveNetwork, logNetwork } from './host-network.ts'
import { listenForStop } from './lifetime.ts'

/** `latchkey host`: the side that kubelet talks to. Answers the exit code. */
export async function runHost({ config: file }: { readonly config?: string }): Promise<number> {
  hardenProcess()
  const kept = leaveNetwork()
  // Only now: what is loaded before the network is left is loaded twice.
  const [{ loadConfig }, { createLogger }, { serveNode }] = await Promise.all([
    import('../config/load.ts'),
    import('../observability/log.ts'),
    import('./host.ts'),
  ])
  const config = loadConfig({ file, environment: process.env })
  const log = createLogger({ level: config.log.level, side: 'host' })
  logNetwork(log, kept)
  const daemonUid = parseDaemonUid(process.env['DAEMON_UID'])
  return serveNode(config, log, { stop: listenForStop(), daemonUid })
}

/** Throws: InvalidRequest. */
export function parseDaemonUid(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  const uid = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (uid <= MAX_USER_OR_GROUP_ID) return uid
  throw new LatchkeyError(
    'InvalidRequest',
    'environment variable DAEMON_UID: expected the user id of the daemon, such as 65532',
  )
}

import { loadConfig } from '../config/load.ts'
import { createLogger } from '../observability/log.ts'
import { startDaemonSide } from './daemon.ts'
import { hardenProcess } from './debuggers.ts'
import { serveNode } from './host.ts'
import { listenForStop, stopInTime } from './lifetime.ts'

/** `latchkey run`: both sides in one process, over the same socket and the same code. Answers the exit code. */
export async function runBoth({ config: file }: { readonly config?: string }): Promise<number> {
  hardenProcess()
  const config = loadConfig({ file, environment: process.env })
  const { level } = config.log
  const stop = listenForStop()
  const log = createLogger({ level, side: 'daemon' })
  const daemon = await startDaemonSide(config, log)
  const hostLog = createLogger({ level, side: 'host' })
  const code = await serveNode(config, hostLog, { stop, daemonUid: process.geteuid?.() })
  await stopInTime(daemon, log)
  return code
}

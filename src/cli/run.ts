import { loadConfig } from '../config/load.ts'
import { createLogger } from '../observability/log.ts'
import { overwriteFreedMemory } from '../syscalls/freed-memory.ts'
import { disableCoreDumps } from '../syscalls/hardening.ts'
import { startDaemonSide } from './daemon.ts'
import { startHostSide } from './host.ts'
import { runUntilSignal } from './lifetime.ts'

/** `latchkey run`: both sides in one process, over the same socket and the same code. Answers the exit code. */
export async function runBoth({ config: file }: { readonly config?: string }): Promise<number> {
  disableCoreDumps()
  overwriteFreedMemory()
  const config = loadConfig({ file, environment: process.env })
  const { level } = config.log
  const daemon = await startDaemonSide(config, createLogger({ level, side: 'daemon' }))
  const log = createLogger({ level, side: 'host' })
  const host = await startHostSide(config, log)
  const stop = async (): Promise<void> => {
    await host.stop()
    await daemon.stop()
  }
  return runUntilSignal({ stop }, log)
}

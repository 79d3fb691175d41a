import type { Logger } from '../../../src/observability/log.ts'
import type { CrashPoints } from './crash-points.ts'

const SCOPE = 'call'

/** Makes every answer to kubelet an event: the host side logs a call right before it is answered. */
export function watchCalls(
  log: Logger,
  points: CrashPoints,
  onStart: (count: number) => void,
): Logger {
  const answered: Logger['debug'] = (fields, message) => {
    if (message === 'call answered') points.meet(`answer ${fields.method ?? ''}`, SCOPE)
    log.debug(fields, message)
  }
  const started: Logger['info'] = (fields, message) => {
    if (message === 'host side started') onStart(fields.count ?? 0)
    log.info(fields, message)
  }
  return { ...log, debug: answered, info: started }
}

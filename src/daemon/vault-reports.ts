import type { DaemonMetrics } from '../observability/daemon-metrics.ts'
import type { LogFields } from '../observability/log-fields.ts'
import type { Logger } from '../observability/log.ts'
import type { FinishedCall, VaultOperation } from './sources/vault/caller.ts'
import type { SessionOwner } from './sources/vault/sessions.ts'
import type { SessionEvent } from './sources/vault/session-options.ts'

/** Calls that come and go with pods, unlike those that keep up what there is. */
const NOTABLE: ReadonlySet<VaultOperation> = new Set([
  'login',
  'issue',
  'revoke-lease',
  'revoke-self',
])

const MESSAGES: Readonly<Record<SessionEvent['what'], string>> = {
  opened: 'session at a source opened',
  resumed: 'session at a source resumed',
  renewed: 'session at a source renewed',
  replaced: 'session at a source replaced by a new login',
  ended: 'session at a source ended',
  'not-renewed': 'session at a source not renewed',
  'not-ended': 'session at a source left to end by itself',
}

/** Counts each call and writes a line with our id for it, which Vault's audit log has as X-Correlation-Id. */
export function callReporter(metrics: DaemonMetrics, log: Logger): (call: FinishedCall) => void {
  return ({ source, operation, callId, requestId, status, reason, durationMs }) => {
    metrics.countSourceCall(source, operation, reason)
    const fields = { source, operation, callId, requestId, status, reason, durationMs }
    if (reason !== undefined) log.info(fields, 'call to a source failed')
    else if (NOTABLE.has(operation)) log.info(fields, 'call to a source made')
    else log.debug(fields, 'call to a source made')
  }
}

/** Counts what happens to sessions and writes a line for it, with whose they are. */
export function sessionReporter(
  source: string,
  metrics: DaemonMetrics,
  log: Logger,
): (event: SessionEvent, owner: SessionOwner) => void {
  return (event, { namespace, serviceAccount, role }) => {
    const reason = 'reason' in event ? event.reason : undefined
    metrics.countSourceSession(source, event.what, reason)
    const fields: LogFields = {
      source,
      namespace,
      serviceAccount,
      role,
      ...(reason === undefined ? {} : { reason }),
    }
    const message = MESSAGES[event.what]
    if (reason !== undefined) log.warn(fields, message)
    else if (event.what === 'renewed') log.debug(fields, message)
    else log.info(fields, message)
  }
}

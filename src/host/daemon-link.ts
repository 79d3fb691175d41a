import type { DaemonMessage__Output } from '../wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import type { ShimMessage } from '../wire/gen/latchkey/mount/v1/ShimMessage.ts'
import type { Received__Output } from '../wire/gen/latchkey/mount/v1/Received.ts'
import type { ShimReport } from '../wire/gen/latchkey/mount/v1/ShimReport.ts'

/** One open Mount call, seen from the shim. */
export interface MountStream {
  /** Ends when the daemon ends the call. Throws: the daemon's reason, DaemonUnavailable. */
  receive(): AsyncIterable<DaemonMessage__Output>
  send(message: ShimMessage): Promise<void>
  /** Hangs up; the daemon keeps the session for a while. */
  end(): void
}

/** One open Report call; each report is answered. */
export interface ReportStream {
  receive(): AsyncIterable<Received__Output>
  send(report: ShimReport): Promise<void>
  end(): void
}

/** The way to the daemon. A call made while the daemon is away fails with DaemonUnavailable. */
export interface DaemonLink {
  mount(signal: AbortSignal): MountStream
  report(signal: AbortSignal): ReportStream
}

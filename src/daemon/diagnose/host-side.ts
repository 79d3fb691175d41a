import { timespan } from '../../core/timespan.ts'
import { failed, ok, skipped, warning, type Finding } from '../../wire/finding.ts'
import type { ShimReport__Output } from '../../wire/gen/latchkey/mount/v1/ShimReport.ts'
import type { HostReports } from './diagnose.ts'

const REPORTS = 'host side reports'
const VERSIONS = 'both sides are of one version'
const REGISTERED = 'kubelet has registered the driver'
/** Three heartbeats. */
const SILENT_MS = 15_000

/** What is known of the host side from its heartbeat. */
export function judgeHost(reports: HostReports, version: string): readonly Finding[] {
  const { isConnected, latest, ageMs = 0 } = reports
  if (!isConnected || latest === undefined) {
    const why = 'the host side is not connected'
    const last = latest === undefined ? '' : `; its last report came ${timespan(ageMs)} ago`
    const fix =
      'see what it says: kubectl -n latchkey-system logs ds/latchkey -c host, and with --previous'
    return [failed(REPORTS, why + last, fix), skipped(VERSIONS, why), skipped(REGISTERED, why)]
  }
  return [judgeSilence(ageMs), judgeVersions(latest.version, version), judgeRegistration(latest)]
}

function judgeSilence(ageMs: number): Finding {
  const detail = `its last report came ${timespan(ageMs)} ago`
  return ageMs < SILENT_MS
    ? ok(REPORTS, detail)
    : warning(REPORTS, detail, 'it hangs or has no processor time: look at the load of the node')
}

function judgeVersions(host: string, daemon: string): Finding {
  return host === daemon
    ? ok(VERSIONS, daemon)
    : warning(
        VERSIONS,
        `host side ${host}, daemon ${daemon}`,
        'give both containers of the DaemonSet the same image',
      )
}

function judgeRegistration({ registered, registrationError }: ShimReport__Output): Finding {
  if (registered) return ok(REGISTERED, 'it has confirmed it')
  return registrationError === ''
    ? failed(
        REGISTERED,
        'kubelet has not come to the registration socket',
        'check that kubelet.root in the configuration is its --root-dir and that plugins_registry below it is mounted into the host container',
      )
    : failed(
        REGISTERED,
        registrationError,
        'kubelet says what it holds against it; once that is mended, restart the host container',
      )
}

import { createDaemonMetrics } from '../../src/observability/daemon-metrics.ts'
import { createHostMetrics } from '../../src/observability/host-metrics.ts'
import type { MetricFamily } from '../../src/observability/metric-family.ts'
import { code, table } from './table.ts'

/** docs/reference/metrics.md. */
export function metricsPage(): readonly string[] {
  const counts = { live: 0, detached: 0, bytes: 0, watches: 0, stalestMs: 0, lastValuesBytes: 0 }
  const maps = { volumes: new Map(), sourceSessions: new Map() }
  const gauges = () => ({ ...counts, ...maps, isShimConnected: false })
  const daemon = createDaemonMetrics({ version: '', gauges }).families()
  const host = createHostMetrics({ version: '' }).families()
  const isOurs = ({ name }: MetricFamily): boolean => name.startsWith('latchkey_')
  return [
    '# Metrics',
    '',
    'The daemon serves one page for both sides at `/metrics` on its port (`http.port`). The figures of the host',
    'side reach it through the mount API; while the host side is not connected they are left out.',
    '',
    'No label carries the name of a secret, a pod or a namespace. `reason` is one of the',
    '[reasons](errors.md), or `none` where all went well.',
    '',
    '## Daemon',
    '',
    ...familyTable(daemon.filter(isOurs)),
    '',
    '## Host side',
    '',
    ...familyTable(host),
    '',
    '## Process of the daemon',
    '',
    'Under the names that Node.js dashboards know:',
    '',
    ...familyTable(daemon.filter((family) => !isOurs(family))),
  ]
}

function familyTable(families: readonly MetricFamily[]): readonly string[] {
  return table(
    ['metric', 'type', 'labels', 'what it tells'],
    families
      .toSorted((a, b) => a.name.localeCompare(b.name, 'en'))
      .map(({ name, type, labels, help }) => [code(name), type, labels.map(code).join(', '), help]),
  )
}

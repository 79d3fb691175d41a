import test from 'ava'
import { REASONS } from '../../src/core/errors.ts'
import { createDaemonMetrics, type DaemonMetrics } from '../../src/observability/daemon-metrics.ts'
import { createHostMetrics, type HostMetrics } from '../../src/observability/host-metrics.ts'
import { joinMetricsPages } from '../../src/observability/metrics-page.ts'
import { checkMetrics, hasPromtool } from './promtool.ts'

/** A host side that has seen everything once. */
function busyHost(): HostMetrics {
  const host = createHostMetrics({ version: '1.2.3' })
  for (const stage of ['wait_for_contents', 'build', 'swap', 'remove'] as const)
    host.startStage(stage)()
  for (const reason of [undefined, ...REASONS]) {
    host.countPublish(reason)
    host.countUnpublish(reason)
  }
  host.countSwap('ok')
  host.countSwap('failed')
  host.countAdopted()
  host.setRegistered(true)
  host.countSwept('api_server')
  host.setVolumes({ mounted: 3, pending: 1, ending: 1, stranded: 1, connected: 2 })
  return host
}

/** A daemon that has seen everything once. */
function busyDaemon(): DaemonMetrics {
  const gauges = () => ({
    live: 2,
    detached: 1,
    bytes: 4096,
    watches: 5,
    isShimConnected: true,
    lastValuesBytes: 711,
    volumes: new Map([['stale', 2]]),
    stalestMs: 1500,
    sourceSessions: new Map([['vault-prod', 3]]),
  })
  const daemon = createDaemonMetrics({ version: '1.2.3', gauges })
  for (const stage of ['authenticate', 'collect', 'commit'] as const) daemon.startStage(stage)()
  for (const reason of [undefined, ...REASONS]) {
    daemon.countMount(reason)
    daemon.countRefresh(reason ?? 'changed')
    daemon.observeReview(reason, 12)
    daemon.observeFetch('kubernetes', reason, 7)
    daemon.countSourceCall('vault-prod', 'login', reason)
    daemon.countSourceSession('vault-prod', 'opened', reason)
  }
  daemon.countRefresh('unchanged')
  for (const outcome of ['created', 'dropped', 'failed'] as const) daemon.countEvent(outcome)
  return daemon
}

async function busyPage(): Promise<string> {
  return joinMetricsPages(await busyDaemon().text(), await busyHost().text())
}

function valueOf(page: string, series: string): number | undefined {
  const line = page.split('\n').find((one) => one.startsWith(`${series} `))
  return line === undefined ? undefined : Number(line.slice(series.length + 1))
}

if (hasPromtool) {
  test('promtool has nothing to say about the page of a busy node', async (t) => {
    t.is(checkMetrics(await busyPage()), '')
  })

  test('promtool has nothing to say about the page of an idle node', async (t) => {
    const daemon = await createDaemonMetrics({ version: '0' }).text()
    const host = await createHostMetrics({ version: '0' }).text()
    t.is(checkMetrics(daemon), '')
    t.is(checkMetrics(joinMetricsPages(daemon, host)), '')
  })

  test('promtool does say something about a bad page', (t) => {
    t.regex(checkMetrics('# TYPE a_total gauge\na_total 1\n'), /_total/)
    t.not(checkMetrics('no such format {\n'), '')
  })
} else {
  test.skip('promtool checks the page (skipped: there is no promtool on this machine)', () =>
    undefined)
}

test('calls are counted by outcome and reason', async (t) => {
  const host = createHostMetrics({ version: '0' })
  host.countPublish(undefined)
  host.countPublish(undefined)
  host.countPublish('AccessDenied')
  host.countUnpublish('VolumeIo')
  const page = await host.text()
  const count = (what: string, outcome: string, reason: string) =>
    valueOf(page, `latchkey_host_${what}_total{outcome="${outcome}",reason="${reason}"}`)
  t.is(count('publishes', 'ok', 'none'), 2)
  t.is(count('publishes', 'error', 'AccessDenied'), 1)
  t.is(count('unpublishes', 'ok', 'none'), 0)
  t.is(count('unpublishes', 'error', 'VolumeIo'), 1)
})

test('a refresh is unchanged, changed, or an error with its reason', async (t) => {
  const daemon = createDaemonMetrics({ version: '0' })
  daemon.countRefresh('unchanged')
  daemon.countRefresh('KubeUnavailable')
  const page = await daemon.text()
  const count = (outcome: string, reason: string) =>
    valueOf(page, `latchkey_refreshes_total{outcome="${outcome}",reason="${reason}"}`)
  t.is(count('unchanged', 'none'), 1)
  t.is(count('changed', 'none'), 0)
  t.is(count('error', 'KubeUnavailable'), 1)
})

test('an event is created, dropped or failed', async (t) => {
  const daemon = createDaemonMetrics({ version: '0' })
  daemon.countEvent('created')
  daemon.countEvent('created')
  daemon.countEvent('dropped')
  const page = await daemon.text()
  t.is(valueOf(page, 'latchkey_events_total{outcome="created"}'), 2)
  t.is(valueOf(page, 'latchkey_events_total{outcome="dropped"}'), 1)
})

test('durations are in seconds', async (t) => {
  const daemon = createDaemonMetrics({ version: '0' })
  daemon.observeReview(undefined, 250)
  const sum = 'latchkey_token_review_duration_seconds_sum{reason="none"}'
  t.is(valueOf(await daemon.text(), sum), 0.25)
})

test('gauges show what is when the page is read', async (t) => {
  let live = 1
  const none = { detached: 0, bytes: 0, watches: 0, isShimConnected: false, stalestMs: 0 }
  const lastValuesBytes = 711
  const maps = { volumes: new Map(), sourceSessions: new Map() }
  const gauges = () => ({ ...none, ...maps, live, lastValuesBytes })
  const daemon = createDaemonMetrics({ version: '0', gauges })
  t.is(valueOf(await daemon.text(), 'latchkey_sessions{state="live"}'), 1)
  live = 2
  t.is(valueOf(await daemon.text(), 'latchkey_sessions{state="live"}'), 2)
  t.is(valueOf(await daemon.text(), 'latchkey_shim_connected'), 0)
  t.is(valueOf(await daemon.text(), 'latchkey_last_values_bytes'), 711)
})

test('processor time counts up by what was used since', async (t) => {
  const host = createHostMetrics({ version: '0' })
  const name = 'latchkey_host_process_cpu_seconds_total'
  const before = valueOf(await host.text(), name) ?? Number.NaN
  t.true(before > 0)
  const { user, system } = process.cpuUsage()
  const after = valueOf(await host.text(), name) ?? Number.NaN
  t.true(after >= before && after >= (user + system) / 1e6)
  t.true(after < (user + system) / 1e6 + 5)
})

test('two sides of two nodes in one process do not meet', async (t) => {
  const one = createHostMetrics({ version: '1' })
  const two = createHostMetrics({ version: '2' })
  one.countAdopted()
  t.is(valueOf(await one.text(), 'latchkey_host_adopted_volumes_total'), 1)
  t.is(valueOf(await two.text(), 'latchkey_host_adopted_volumes_total'), 0)
  t.is(valueOf(await two.text(), 'latchkey_host_build_info{version="2"}'), 1)
})

test("every family of the host side, and none of the daemon's, begins with latchkey_host_", (t) => {
  const host = busyHost().families()
  const daemon = busyDaemon().families()
  t.true(host.length > 10)
  t.deepEqual(
    host.filter(({ name }) => !name.startsWith('latchkey_host_')),
    [],
  )
  t.deepEqual(
    daemon.filter(({ name }) => name.startsWith('latchkey_host_')),
    [],
  )
})

test('no label can carry the name of a secret, a pod or a namespace', (t) => {
  const words = ['outcome', 'reason', 'stage', 'state', 'version', 'witness', 'event', 'operation']
  const allowed = new Set([...words, 'source'])
  const ours = [...busyHost().families(), ...busyDaemon().families()].filter(({ name }) =>
    name.startsWith('latchkey_'),
  )
  t.deepEqual(
    ours.flatMap(({ labels }) => labels).filter((label) => !allowed.has(label)),
    [],
  )
})

test("the whole of the host side's page reaches the common page", async (t) => {
  const host = await busyHost().text()
  const page = joinMetricsPages(await busyDaemon().text(), host)
  const lines = new Set(page.split('\n'))
  t.deepEqual(
    host.split('\n').filter((line) => line !== '' && !lines.has(line)),
    [],
  )
})

test('of the host side only well-formed lines about itself are taken', (t) => {
  const bad = [
    'latchkey_build_info{version="9"} 1',
    '# TYPE latchkey_build_info gauge',
    'up 0',
    'latchkey_host_',
    'latchkey_host_volumes{state="mounted} 1',
    'latchkey_host_volumes{state="mounted"}',
    'latchkey_host_volumes{state="mounted"} many',
    'latchkey_host_volumes{state="a"} 1\r',
    '# TYPE latchkey_host_volumes heap',
    '# EOF',
    '<html>',
  ]
  const good = [
    '# HELP latchkey_host_volumes Volumes, "all" of them.',
    '# TYPE latchkey_host_volumes gauge',
    'latchkey_host_volumes{state="a \\"quoted\\" } word"} 1',
    'latchkey_host_stage_duration_seconds_bucket{le="+Inf",stage="swap"} 12',
    'latchkey_host_stage_duration_seconds_sum{stage="swap"} 1.5e-7',
    'latchkey_host_registered 1',
  ]
  const page = joinMetricsPages('a 1\n', [...bad, ...good, ...bad].join('\n'))
  t.is(page, `a 1\n${good.join('\n')}\n`)
})

test("without the host side the page is the daemon's alone", (t) => {
  t.is(joinMetricsPages('a 1\n', ''), 'a 1\n')
})

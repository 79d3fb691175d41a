import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type { VaultConfig } from '../../src/config/config.ts'
import { LatchkeyError } from '../../src/core/errors.ts'
import { openVaults, type OpenVault } from '../../src/daemon/open-vaults.ts'
import { callReporter, sessionReporter } from '../../src/daemon/vault-reports.ts'
import { createAuthority, createServingPki } from '../../src/minicluster/pki.ts'
import { createDaemonMetrics } from '../../src/observability/daemon-metrics.ts'
import { createLogger } from '../../src/observability/log.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { vaultWith } from '../support/vault-config.ts'

function folderFor(t: ExecutionContext): string {
  const folder = mkdtempSync('/tmp/lk-')
  t.teardown(() => {
    rmSync(folder, { recursive: true })
  })
  return folder
}

function journal() {
  const lines: string[] = []
  const write = (line: string): void => void lines.push(line)
  const metrics = createDaemonMetrics({ version: 'test' })
  const parsed = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  return { metrics, log: createLogger({ level: 'debug', side: 'daemon', write }), parsed }
}

function open(t: ExecutionContext, ...sources: readonly VaultConfig[]): readonly OpenVault[] {
  const { metrics, log } = journal()
  const vaults = openVaults({ config: { sources }, clock: new FakeClock(), metrics, log })
  t.teardown(() => {
    for (const vault of vaults) vault.close()
  })
  return vaults
}

test('each source of the configuration is one, with its name and audience', (t) => {
  const auth = { method: 'jwt', mount: 'jwt', role: undefined, audience: 'other' } as const
  const vaults = open(t, vaultWith({}), vaultWith({ name: 'vault-b', auth }))
  t.deepEqual(
    vaults.map(({ source, sessions }) => [source.name, source.audience, sessions]),
    [
      ['vault-prod', 'vault', 0],
      ['vault-b', 'other', 0],
    ],
  )
})

test('a fetch has time for a login, a look at the engine and the read', (t) => {
  t.is(open(t, vaultWith({}))[0]?.timeoutMs, 12_000)
})

test('a PEM file of authorities is taken', async (t) => {
  const caFile = join(folderFor(t), 'ca.pem')
  writeFileSync(caFile, (await createAuthority('of a test')).certPem)
  t.is(open(t, vaultWith({ caFile })).length, 1)
})

test('a diagnosis asks a source how it is under the authorities of its own caFile', async (t) => {
  const { authorityPem, identity } = await createServingPki()
  const tls = { key: identity.keyPem, cert: identity.certPem }
  const server = createServer(tls, (_request, response) => {
    response.end(JSON.stringify({ sealed: false, version: '1.21.0' }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const caFile = join(folderFor(t), 'ca.pem')
  writeFileSync(caFile, authorityPem)
  const [known, strange] = open(
    t,
    vaultWith({ address, caFile }),
    vaultWith({ name: 'vault-b', address }),
  )
  const { signal } = new AbortController()
  t.like(known?.probed, { name: 'vault-prod', kind: 'vault', address })
  t.like(await known?.probed.probe(signal), {
    grade: 'GRADE_OK',
    detail: 'active, version 1.21.0',
  })
  await t.throwsAsync(async () => strange?.probed.probe(signal), { message: /caFile/ })
})

for (const [what, problem, make] of [
  ['is not there', /no such file/, () => undefined],
  ['is a folder', /not a file/, (file: string) => execFileSync('mkdir', [file])],
  ['is a pipe', /not a file/, (file: string) => execFileSync('mkfifo', [file])],
  [
    'holds no certificate',
    /no certificate in it; PEM/,
    (file: string) => {
      writeFileSync(file, 'x')
    },
  ],
  [
    'is empty',
    /no certificate in it; PEM/,
    (file: string) => {
      writeFileSync(file, '')
    },
  ],
  [
    'is too large',
    /larger than 1048576 bytes/,
    (file: string) => {
      writeFileSync(file, Buffer.alloc(1_048_577))
    },
  ],
] as const) {
  test(`a caFile that ${what} is named with its setting`, (t) => {
    const caFile = join(folderFor(t), 'ca.pem')
    make(caFile)
    const error = t.throws(() => open(t, vaultWith({}), vaultWith({ name: 'b', caFile })), {
      instanceOf: LatchkeyError,
      message: problem,
    })
    t.is(error.reason, 'InvalidRequest')
    t.true(error.message.startsWith(`sources[1].caFile: ${caFile}: `), error.message)
  })
}

test('a caFile that cannot be used any more is warned of, with the source and the setting', async (t) => {
  const caFile = join(folderFor(t), 'ca.pem')
  writeFileSync(caFile, (await createAuthority('of a test')).certPem)
  const { metrics, log, parsed } = journal()
  const clock = new FakeClock()
  const sources = [vaultWith({}), vaultWith({ name: 'vault-b', caFile })]
  const vaults = openVaults({ config: { sources }, clock, metrics, log })
  t.teardown(() => {
    for (const vault of vaults) vault.close()
  })
  writeFileSync(caFile, 'x')
  await clock.advance(10_000)
  await t.throwsAsync(async () => vaults[1]?.probed.probe(AbortSignal.timeout(10_000)))
  const [line, ...others] = parsed()
  t.deepEqual(others, [])
  t.like(line, { level: 'warn', source: 'vault-b', reason: 'InvalidRequest' })
  t.true(JSON.stringify(line).includes(`sources[1].caFile: ${caFile}: no certificate in it`))
})

test('calls are counted, and written down with both ids', async (t) => {
  const { metrics, log, parsed } = journal()
  const report = callReporter(metrics, log)
  const call = { source: 'vault-prod', callId: 'ours', requestId: 'theirs', durationMs: 5 }
  report({ ...call, operation: 'login', status: 200, reason: undefined })
  report({ ...call, operation: 'read', status: 200, reason: undefined })
  report({ ...call, operation: 'read', status: 503, reason: 'SourceUnavailable' })
  t.deepEqual(
    parsed().map(({ level, msg, operation, reason }) => [level, msg, operation, reason]),
    [
      ['info', 'call to a source made', 'login', undefined],
      ['debug', 'call to a source made', 'read', undefined],
      ['info', 'call to a source failed', 'read', 'SourceUnavailable'],
    ],
  )
  t.like(parsed()[0], { source: 'vault-prod', callId: 'ours', requestId: 'theirs', status: 200 })
  const labels = 'source="vault-prod",operation="read",outcome="error",reason="SourceUnavailable"'
  t.true((await metrics.text()).includes(`latchkey_source_calls_total{${labels}} 1\n`))
})

test('what happens to sessions is counted, and written down with whose they are', async (t) => {
  const { metrics, log, parsed } = journal()
  const report = sessionReporter('vault-prod', metrics, log)
  const owner = { namespace: 'shop', serviceAccount: 'api', serviceAccountUid: 'u', role: 'r' }
  report({ what: 'opened' }, owner)
  report({ what: 'renewed' }, owner)
  report({ what: 'not-ended', reason: 'Timeout' }, owner)
  t.deepEqual(
    parsed().map(({ level, msg, reason }) => [level, msg, reason]),
    [
      ['info', 'session at a source opened', undefined],
      ['debug', 'session at a source renewed', undefined],
      ['warn', 'session at a source left to end by itself', 'Timeout'],
    ],
  )
  t.like(parsed()[0], { source: 'vault-prod', namespace: 'shop', serviceAccount: 'api', role: 'r' })
  const labels = 'source="vault-prod",event="not-ended",reason="Timeout"'
  t.true((await metrics.text()).includes(`latchkey_source_session_events_total{${labels}} 1\n`))
})

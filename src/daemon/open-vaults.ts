import { X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import type { Config } from '../config/config.ts'
import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import type { DaemonMetrics } from '../observability/daemon-metrics.ts'
import type { Logger } from '../observability/log.ts'
import type { ProbedSource } from './diagnose/sources.ts'
import type { Source } from './sources/source.ts'
import { askHealth } from './sources/vault/health.ts'
import { VaultSessions } from './sources/vault/sessions.ts'
import { createVaultApi } from './sources/vault/vault-api.ts'
import { createVaultSource } from './sources/vault/vault-source.ts'
import { seenOf } from './vault-probe.ts'
import { callReporter, sessionReporter } from './vault-reports.ts'

export interface VaultsOptions {
  readonly config: Pick<Config, 'sources'>
  readonly clock: Clock
  readonly metrics: DaemonMetrics
  readonly log: Logger
}

export interface OpenVault {
  readonly source: Source
  /** For one fetch: logging in, learning what lies at the path, and reading it. */
  readonly timeoutMs: number
  /** Sessions that are held. */
  readonly sessions: number
  readonly probed: ProbedSource
  /** Ends calls under way. Sessions live on, for the daemon's successor. */
  close(): void
}

const CALLS_OF_A_FETCH = 3
/** All authorities of the public web together are a quarter of this. */
const MAX_CA_BYTES = 1024 * 1024

/**
 * Every Vault of the configuration; nothing is sent to any of them before a pod asks.
 * Throws: InvalidRequest, naming the setting to mend.
 */
export function openVaults({ config, clock, metrics, log }: VaultsOptions): readonly OpenVault[] {
  return config.sources.map(({ caFile, ...settings }, index) => {
    const ca = caFile === undefined ? undefined : readAuthorities(caFile, index)
    const onCall = callReporter(metrics, log)
    const api = createVaultApi({ ...settings, ca, clock, onCall })
    const onEvent = sessionReporter(settings.name, metrics, log)
    const sessions = new VaultSessions({ api, clock, onEvent })
    return {
      source: createVaultSource({ api, sessions, clock }),
      timeoutMs: CALLS_OF_A_FETCH * settings.limits.timeoutMs,
      get sessions() {
        return sessions.size
      },
      probed: {
        name: settings.name,
        kind: settings.kind,
        address: settings.address,
        probe: async (signal) => seenOf(await askHealth(api.settings, clock, signal)),
      },
      close() {
        sessions.close()
        api.close()
      },
    }
  })
}

function readAuthorities(file: string, index: number): string {
  const wrong = (what: string): LatchkeyError =>
    new LatchkeyError('InvalidRequest', `sources[${index}].caFile: ${file}: ${what}`)
  let pem: string
  try {
    const stats = statSync(file)
    // A pipe would be waited for without end.
    if (!stats.isFile()) throw wrong('not a file')
    if (stats.size > MAX_CA_BYTES) throw wrong(`larger than ${MAX_CA_BYTES} bytes`)
    pem = readFileSync(file, 'latin1')
  } catch (thrown) {
    if (thrown instanceof LatchkeyError) throw thrown
    throw wrong(readingTrouble(thrown))
  }
  try {
    new X509Certificate(pem)
    return pem
  } catch {
    throw wrong('no certificate in it; PEM is expected, which begins with -----BEGIN CERTIFICATE')
  }
}

function readingTrouble(thrown: unknown): string {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  if (code === 'ENOENT') return "no such file in the daemon's container"
  return `cannot be read (${String(code)})`
}

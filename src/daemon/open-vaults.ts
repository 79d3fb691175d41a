import type { Config, VaultConfig } from '../config/config.ts'
import type { Clock } from '../core/clock.ts'
import type { LatchkeyError } from '../core/errors.ts'
import type { DaemonMetrics } from '../observability/daemon-metrics.ts'
import type { Logger } from '../observability/log.ts'
import type { ProbedSource } from './diagnose/sources.ts'
import type { Source } from './sources/source.ts'
import { AuthorityFile } from './sources/vault/authority-file.ts'
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

/**
 * Every Vault of the configuration; nothing is sent to any of them before a pod asks.
 * Throws: InvalidRequest, naming the setting to mend.
 */
export function openVaults({ config, clock, metrics, log }: VaultsOptions): readonly OpenVault[] {
  return config.sources.map(({ caFile, ...settings }, index) => {
    const { name } = settings
    const authority = openAuthority({ name, caFile }, `sources[${index}].caFile`, { clock, log })
    const onCall = callReporter(metrics, log)
    const api = createVaultApi({ ...settings, readCa: authority, clock, onCall })
    const onEvent = sessionReporter(name, metrics, log)
    const sessions = new VaultSessions({ api, clock, onEvent })
    return {
      source: createVaultSource({ api, sessions, clock }),
      timeoutMs: CALLS_OF_A_FETCH * settings.limits.timeoutMs,
      get sessions() {
        return sessions.size
      },
      probed: {
        name,
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

/** Throws: InvalidRequest. */
function openAuthority(
  { name, caFile: file }: Pick<VaultConfig, 'name' | 'caFile'>,
  setting: string,
  { clock, log }: Pick<VaultsOptions, 'clock' | 'log'>,
): (() => string) | undefined {
  if (file === undefined) return undefined
  const onTrouble = (err: LatchkeyError): void => {
    const fields = { source: name, err, reason: err.reason }
    log.warn(fields, 'authority of a source cannot be read; the last one stays')
  }
  const authority = new AuthorityFile({ setting, file, clock, onTrouble })
  return () => authority.read()
}

import type { VaultConfig } from '../../src/config/config.ts'

/** A Vault as the configuration has it, with every default; nobody answers at its address. */
export function vaultWith(changes: Partial<VaultConfig> = {}): VaultConfig {
  return {
    kind: 'vault',
    name: 'vault-prod',
    address: 'https://127.0.0.1:1',
    caFile: undefined,
    serverName: undefined,
    namespace: undefined,
    auth: { method: 'jwt', mount: 'jwt', role: 'shop', audience: 'vault' },
    limits: { concurrent: 16, perSecond: 50, timeoutMs: 4_000, maxBytes: 65_536 },
    ...changes,
  }
}

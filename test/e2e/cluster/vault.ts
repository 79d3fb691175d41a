import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

import type { Binaries } from './binaries.ts'
import type { ClusterNode } from './cluster.ts'
import type { CommandOptions } from './command.ts'
import type { Pki } from './pki.ts'
import { NODE_ADDRESS } from './seal.ts'
import type { Service } from './service.ts'
import { until } from './until.ts'

const PORT = 8200
const DATA_FOLDER = '/var/lib/vault'
const ANSWERS_WITHIN_MS = 30_000

/** Where the parts of the node's Vault are; plain data, for any process. */
export interface VaultPlace {
  readonly program: string
  readonly pluginFolder: string
  readonly caFile: string
  /** Holds what `vault operator init` printed. */
  readonly keysFile: string
  /** As the node sees it. */
  readonly auditFile: string
}

/** The Vault of the node. It runs there as etcd does, so that neither pods nor kubelet are needed for it. */
export interface VaultServer {
  /** Reached from pods and from the node. */
  readonly address: string
  /** PEM of the authority that its certificate is from. */
  readonly caPem: string
  readonly service: Service
  readonly place: VaultPlace
  /** What the `vault` command needs, with root's rights. */
  readonly env: Readonly<Record<string, string>>
  /** The `vault` command with root's rights; its output. */
  run(args: readonly string[], options?: CommandOptions): Promise<string>
  /** For a new server: makes its keys and opens it. */
  initialize(signal?: AbortSignal): Promise<void>
  /** Waits for a server that was started, and opens it. */
  unseal(signal?: AbortSignal): Promise<void>
  /** The audit log so far. */
  auditLines(): AuditLine[]
}

/** What stories read of a line of the audit log. Secrets and tokens in it are hashes. */
export interface AuditLine {
  readonly type: 'request' | 'response'
  readonly time: string
  readonly error?: string
  readonly auth?: {
    readonly display_name?: string
    readonly metadata?: Readonly<Record<string, string>>
  }
  readonly request: {
    readonly id: string
    readonly operation: string
    readonly path: string
    readonly headers?: Readonly<Record<string, readonly string[]>>
  }
}

interface Keys {
  readonly unseal_keys_b64: readonly string[]
  readonly root_token: string
}

/** Writes the configuration and gives the command that runs the server, sealed at first. */
export function configureVault(binaries: Binaries, pki: Pki, folder: string): string[] {
  const file = join(folder, 'vault.json')
  const config = {
    // The one storage that survives a restart and is in the small build. On the node's own tmpfs.
    storage: { raft: { path: DATA_FOLDER, node_id: 'node' } },
    cluster_addr: `https://${NODE_ADDRESS}:${PORT + 1}`,
    listener: {
      tcp: {
        address: `0.0.0.0:${PORT}`,
        tls_cert_file: pki.path('vault.crt'),
        tls_key_file: pki.path('vault.key'),
      },
    },
    api_addr: `https://${NODE_ADDRESS}:${PORT}`,
    plugin_directory: binaries.vaultPluginFolder,
    // Locking memory wants a capability that the machine may not have to give.
    disable_mlock: true,
  }
  writeFileSync(file, JSON.stringify(config))
  const start = 'mkdir -p "$0" && exec "$@"'
  return ['sh', '-c', start, DATA_FOLDER, binaries.vault, 'server', '-config', file]
}

/** The place that goes with that command. */
export function vaultPlace(binaries: Binaries, pki: Pki, folder: string): VaultPlace {
  return {
    program: binaries.vault,
    pluginFolder: binaries.vaultPluginFolder,
    caFile: pki.path('vault-ca.crt'),
    keysFile: join(folder, 'vault-keys.json'),
    auditFile: '/var/log/vault-audit.log',
  }
}

/** The node's Vault, started or not. `root` is where the node's files are seen from this process. */
export function openVault(
  place: VaultPlace,
  service: Service,
  run: ClusterNode['run'],
  root: string,
): VaultServer {
  const address = `https://${NODE_ADDRESS}:${PORT}`
  const open = { VAULT_ADDR: address, VAULT_CACERT: place.caFile }
  const keys = (): Keys => JSON.parse(readFileSync(place.keysFile, 'utf8')) as Keys
  const command = async (
    args: readonly string[],
    options: CommandOptions,
    env: Readonly<Record<string, string>>,
  ): Promise<string> => {
    const label = `vault ${args.slice(0, 3).join(' ')}`
    const { stdout } = await run([place.program, ...args], { label, ...options, env })
    return stdout.toString()
  }
  const server: VaultServer = {
    address,
    caPem: readFileSync(place.caFile, 'utf8'),
    service,
    place,
    get env() {
      return { ...open, VAULT_TOKEN: keys().root_token }
    },
    run: (args, options = {}) => command(args, options, server.env),
    async initialize(signal) {
      const init = ['operator', 'init', '-key-shares=1', '-key-threshold=1', '-format=json']
      const printed = await until(() => command(init, {}, open), {
        what: 'Vault to be initialized; see its log',
        withinMs: ANSWERS_WITHIN_MS,
        signal,
      })
      writeFileSync(place.keysFile, printed, { mode: 0o600 })
      await server.unseal(signal)
    },
    async unseal(signal) {
      const [key = ''] = keys().unseal_keys_b64
      await until(() => command(['operator', 'unseal', key], {}, open), {
        what: 'Vault to be unsealed; see its log',
        withinMs: ANSWERS_WITHIN_MS,
        signal,
      })
      // It is unsealed before it is active; only then does it answer.
      await until(() => command(['read', 'sys/health'], {}, server.env), {
        what: 'Vault to be active; see its log',
        withinMs: ANSWERS_WITHIN_MS,
        signal,
      })
    },
    auditLines: () =>
      readFileSync(join(root, place.auditFile), 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as AuditLine),
  }
  return server
}

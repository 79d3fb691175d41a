import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { systemClock } from '../../../../src/core/clock.ts'
import type { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import type { FinishedCall } from '../../../../src/daemon/sources/vault/caller.ts'
import { createVaultApi, type VaultApi } from '../../../../src/daemon/sources/vault/vault-api.ts'
import { until } from '../../../support/until.ts'
import type { AuditedCall, VaultAdmin, VaultWorld } from './contract-world.ts'
import { settingsFor } from './double-world.ts'
import { ISSUER, JwtIssuer } from './pod-jwt.ts'

export interface RealVault {
  /** http on loopback: a dev server. */
  readonly address: string
  readonly rootToken: string
  /** Of a PostgreSQL that trusts loopback, where there is one. */
  readonly postgresPort: number | undefined
  /** Everything is furnished in it; made where it is not there. */
  readonly namespace?: string | undefined
}

export interface RealWorld extends VaultWorld {
  close(): Promise<void>
}

const POLICY = `
path "kv1/shop/*"          { capabilities = ["read", "update"] }
path "kv2/data/shop/*"     { capabilities = ["read", "update"] }
path "leased/shop/*"       { capabilities = ["read"] }
path "pki/issue/web"       { capabilities = ["read", "update"] }
path "database/creds/web" { capabilities = ["read"] }
path "nowhere/*"           { capabilities = ["read"] }
path "sys/leases/revoke"   { capabilities = ["update"] }
`

/** Furnishes a dev server for the contract: engines, policies, the jwt method with a key of our own, an audit log. */
export async function furnishRealWorld(vault: RealVault): Promise<RealWorld> {
  const issuer = new JwtIssuer()
  const folder = mkdtempSync(join(tmpdir(), 'latchkey-vault-'))
  const auditFile = join(folder, 'audit.log')
  const outer = rootCalls({ ...vault, namespace: undefined })
  const root = rootCalls(vault)
  const { namespace } = vault
  if (namespace !== undefined) await outer.write(`sys/namespaces/${namespace}`, {})
  await mountEngines(root)
  await enableLogins(root, issuer)
  const { postgresPort } = vault
  if (postgresPort !== undefined) await mountDatabase(root, postgresPort)
  // Audit is the root namespace's. Vault shows the header by itself, OpenBao once it is told to.
  await outer.write('sys/config/auditing/request-headers/x-correlation-id', { hmac: false })
  const device = `sys/audit/latchkey-${randomUUID()}`
  await outer.write(device, { type: 'file', options: { file_path: auditFile } })

  const apis: VaultApi[] = []
  const calls: FinishedCall[] = []
  return {
    calls,
    databaseUsers: postgresPort === undefined ? undefined : () => usersOf(postgresPort),
    admin: adminOf(root, auditFile),
    api(changes = {}) {
      const onCall = (call: FinishedCall): void => void calls.push(call)
      const settings = settingsFor(vault.address, { namespace, ...changes })
      const api = createVaultApi({ ...settings, clock: systemClock, onCall })
      apis.push(api)
      return api
    },
    jwt: (wishes) => issuer.issue(wishes),
    uniqueName: () => randomUUID(),
    async close() {
      for (const api of apis) api.close()
      await outer.call('DELETE', device)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

interface RootCalls {
  /** The answer's body; undefined where there is nothing. Throws for any other refusal. */
  readonly call: (method: string, path: string, body?: object) => Promise<unknown>
  readonly write: (path: string, body: object) => Promise<unknown>
}

/** Whether it is one with namespaces: OpenBao, or Vault Enterprise. */
export async function hasNamespaces({ address, rootToken }: RealVault): Promise<boolean> {
  const headers = { 'x-vault-token': rootToken }
  const response = await fetch(`${address}/v1/sys/namespaces?list=true`, { headers })
  const text = await response.text()
  // What has none answers 404 as well as what has none yet, and says why.
  return response.ok || (response.status === 404 && !/enterprise|unsupported/.test(text))
}

function rootCalls({ address, rootToken, namespace }: RealVault): RootCalls {
  const call = async (method: string, path: string, body?: object): Promise<unknown> => {
    const response = await fetch(`${address}/v1/${path}`, {
      method,
      headers: {
        'x-vault-token': rootToken,
        ...(namespace === undefined ? {} : { 'x-vault-namespace': namespace }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (response.status === 404) return undefined
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text === '' ? undefined : (JSON.parse(text) as unknown)
  }
  return { call, write: (path, body) => call('POST', path, body) }
}

async function mountEngines({ call, write }: RootCalls): Promise<void> {
  const engines = {
    kv1: { type: 'kv', options: { version: '1' } },
    kv2: { type: 'kv', options: { version: '2' } },
    leased: { type: 'kv', options: { version: '1', leased_passthrough: 'true' } },
    pki: { type: 'pki', config: { max_lease_ttl: '87600h' } },
  }
  for (const [path, engine] of Object.entries(engines)) {
    await call('DELETE', `sys/mounts/${path}`)
    await write(`sys/mounts/${path}`, engine)
  }
  await write('pki/root/generate/internal', { common_name: 'latchkey contract', ttl: '1000h' })
  await write('pki/roles/web', {
    allowed_domains: ['shop'],
    allow_subdomains: true,
    key_type: 'ec',
    key_bits: 256,
    max_ttl: '24h',
  })
  const isReady = (): Promise<boolean> =>
    write('kv2/data/ready', { data: {} }).then(
      () => true,
      () => false,
    )
  await until(isReady, { what: 'the KV version 2 engine' })
}

async function mountDatabase({ call, write }: RootCalls, port: number): Promise<void> {
  await call('DELETE', 'sys/mounts/database')
  await write('sys/mounts/database', { type: 'database' })
  await write('database/config/postgres', {
    plugin_name: 'postgresql-database-plugin',
    allowed_roles: ['web'],
    connection_url: `postgresql://postgres@127.0.0.1:${port}/postgres?sslmode=disable`,
  })
  const create = `CREATE ROLE "{{name}}" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'`
  await write('database/roles/web', {
    db_name: 'postgres',
    creation_statements: [create],
    default_ttl: '30s',
    max_ttl: '90s',
  })
}

/** Those that Vault made. */
async function usersOf(port: number): Promise<readonly string[]> {
  const query = "SELECT rolname FROM pg_roles WHERE rolname LIKE 'v-%'"
  const place = ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres']
  const { stdout } = await promisify(execFile)('psql', [...place, '-tAc', query])
  return stdout.split('\n').filter((line) => line !== '')
}

async function enableLogins({ call, write }: RootCalls, issuer: JwtIssuer): Promise<void> {
  await write('sys/policies/acl/api', { policy: POLICY })
  await call('DELETE', 'sys/auth/jwt')
  await write('sys/auth/jwt', { type: 'jwt' })
  const jwt_validation_pubkeys = [issuer.publicKeyPem]
  await write('auth/jwt/config', { jwt_validation_pubkeys, bound_issuer: ISSUER })
  const bound = {
    role_type: 'jwt',
    bound_audiences: ['vault'],
    user_claim: 'sub',
    bound_claims: {
      '/kubernetes.io/namespace': 'shop',
      '/kubernetes.io/serviceaccount/name': 'api',
    },
    claim_mappings: { '/kubernetes.io/pod/name': 'pod' },
    token_policies: ['api'],
    token_ttl: '10m',
    token_max_ttl: '24h',
  }
  await write('auth/jwt/role/api', bound)
  await write('auth/jwt/role/short', { ...bound, token_ttl: '20s', token_max_ttl: '20s' })
  await write('auth/jwt/role/batch', { ...bound, token_type: 'batch' })
  await write('auth/jwt/role/nothing', { ...bound, token_policies: [] })
}

function adminOf({ call, write }: RootCalls, auditFile: string): VaultAdmin {
  const done = (work: Promise<unknown>): Promise<void> => work.then(() => undefined)
  return {
    putKv1: (path, data) => done(write(`kv1/${path}`, data)),
    putKv2: (path, data) => done(write(`kv2/data/${path}`, { data })),
    deleteKv2: (path, version) => done(write(`kv2/delete/${path}`, { versions: [version] })),
    destroyKv2: (path, version) => done(write(`kv2/destroy/${path}`, { versions: [version] })),
    forgetKv2: (path) => done(call('DELETE', `kv2/metadata/${path}`)),
    putLeased: (path, data) => done(write(`leased/${path}`, data)),
    endSession: (token: SecretBytes) =>
      done(write('auth/token/revoke', { token: token.use((bytes) => bytes.toString()) })),
    async livingLeases(prefix) {
      const answer = (await call('LIST', `sys/leases/lookup/${prefix}`)) as
        { readonly data: { readonly keys: readonly string[] } } | undefined
      return answer?.data.keys.length ?? 0
    },
    audited: (callId) => Promise.resolve(findAudited(auditFile, callId)),
  }
}

interface AuditLine {
  readonly type: string
  readonly auth?: { readonly metadata?: { readonly pod?: string } }
  readonly request: {
    readonly id: string
    readonly headers?: Readonly<Record<string, readonly string[]>>
  }
}

function findAudited(auditFile: string, callId: string): AuditedCall | undefined {
  for (const text of readFileSync(auditFile, 'utf8').split('\n')) {
    if (text === '') continue
    const { type, auth, request } = JSON.parse(text) as AuditLine
    if (type === 'response' && request.headers?.['x-correlation-id']?.[0] === callId) {
      return { requestId: request.id, pod: auth?.metadata?.pod }
    }
  }
  return undefined
}

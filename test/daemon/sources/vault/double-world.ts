import { randomUUID } from 'node:crypto'
import { systemClock, type Clock } from '../../../../src/core/clock.ts'
import type { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import type { FinishedCall } from '../../../../src/daemon/sources/vault/caller.ts'
import type { VaultSettings } from '../../../../src/daemon/sources/vault/settings.ts'
import { createVaultApi, type VaultApi } from '../../../../src/daemon/sources/vault/vault-api.ts'
import type { VaultAdmin, VaultWorld } from './contract-world.ts'
import { Database, Kv1, Kv2, Pki } from './double-engines.ts'
import { JwtIssuer } from './pod-jwt.ts'
import { VaultDouble, type DoubleOptions } from './vault-double.ts'

/** Roomy, so that only tests of the limits meet them. */
export const ROOMY = { concurrent: 8, perSecond: 1_000, timeoutMs: 10_000, maxBytes: 1024 * 1024 }

/** The settings of a source whose Vault lies at an address. */
export function settingsFor(address: string, changes: Partial<VaultSettings> = {}): VaultSettings {
  const auth = { method: 'jwt', mount: 'jwt', audience: 'vault' } as const
  return { name: 'vault-test', address, auth, limits: ROOMY, ...changes }
}

const BOUND = { audience: 'vault', namespace: 'shop', serviceAccount: 'api' }
const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

export interface DoubleWorld extends VaultWorld {
  readonly double: VaultDouble
  readonly issuer: JwtIssuer
  readonly kv2: Kv2
  readonly database: Database
  /** The API's clock, where it is to be another than Vault's. */
  api(changes?: Partial<VaultSettings>, clock?: Clock): VaultApi
  close(): Promise<void>
}

/** The world of the contract on the double, and a database engine beside. */
export async function startDoubleWorld(
  clock: Clock = systemClock,
  like: Pick<DoubleOptions, 'namespace' | 'server'> = {},
): Promise<DoubleWorld> {
  const { namespace } = like
  const issuer = new JwtIssuer()
  const double = await VaultDouble.start({
    ...like,
    clock,
    checkJwt: (jwt) => issuer.check(jwt),
  })
  const { sessions, roles, engines } = double
  const [kv1, kv2, leased, pki] = [new Kv1(), new Kv2(clock), new Kv1(sessions), new Pki(clock)]
  const database = new Database(sessions, 30_000, 90_000)
  engines.set('kv1/', kv1).set('kv2/', kv2).set('leased/', leased)
  engines.set('pki/', pki).set('database/', database)
  sessions.policies.set('api', {
    'kv1/shop/*': ['read', 'update'],
    'kv2/data/shop/*': ['read', 'update'],
    'leased/shop/*': ['read'],
    'pki/issue/web': ['update', 'read'],
    'database/creds/web': ['read'],
    'nowhere/*': ['read'],
    'sys/leases/revoke': ['update'],
  })
  const long = { ttlMs: 10 * MINUTE_MS, maxTtlMs: DAY_MS }
  roles.set('api', { ...BOUND, ...long, policies: ['api'] })
  roles.set('short', { ...BOUND, ttlMs: 20_000, maxTtlMs: 20_000, policies: ['api'] })
  roles.set('batch', { ...BOUND, ...long, policies: ['api'], isBatch: true })
  roles.set('nothing', { ...BOUND, ...long, policies: [] })

  const apis: VaultApi[] = []
  const calls: FinishedCall[] = []
  return {
    double,
    issuer,
    kv2,
    database,
    databaseUsers: () => Promise.resolve([...database.users]),
    calls,
    admin: adminOf(double, kv1, kv2, leased),
    api(changes = {}, apiClock = clock) {
      const onCall = (call: FinishedCall): void => void calls.push(call)
      const settings = settingsFor(double.address, { namespace, ...changes })
      const api = createVaultApi({ ...settings, clock: apiClock, onCall })
      apis.push(api)
      return api
    },
    jwt: (wishes) => issuer.issue(wishes),
    uniqueName: () => randomUUID(),
    async close() {
      for (const api of apis) api.close()
      await double.close()
    },
  }
}

function adminOf(double: VaultDouble, kv1: Kv1, kv2: Kv2, leased: Kv1): VaultAdmin {
  const { sessions } = double
  const act = (work: () => void): Promise<void> => {
    work()
    return Promise.resolve()
  }
  return {
    putKv1: (path, data) =>
      act(() => {
        kv1.put(path, data)
      }),
    putKv2: (path, data) =>
      act(() => {
        kv2.put(path, data)
      }),
    deleteKv2: (path, version) =>
      act(() => {
        kv2.delete(path, version)
      }),
    destroyKv2: (path, version) =>
      act(() => {
        kv2.destroy(path, version)
      }),
    forgetKv2: (path) =>
      act(() => {
        kv2.forget(path)
      }),
    putLeased: (path, data) =>
      act(() => {
        leased.put(path, data)
      }),
    endSession(token: SecretBytes) {
      const found = sessions.living(token.use((bytes) => bytes.toString()))
      if (found !== undefined) sessions.endToken(found)
      return Promise.resolve()
    },
    livingLeases: (prefix) => Promise.resolve(sessions.livingLeases(prefix)),
    audited(callId) {
      const found = double.audit.find((one) => one.callId === callId)
      return Promise.resolve(found && { requestId: found.requestId, pod: found.pod })
    },
  }
}

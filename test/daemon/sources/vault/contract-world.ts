import type { ExecutionContext } from 'ava'
import type { LatchkeyError } from '../../../../src/core/errors.ts'
import type { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import type { FinishedCall } from '../../../../src/daemon/sources/vault/caller.ts'
import type { SecretRef } from '../../../../src/daemon/sources/vault/secret-ref.ts'
import type { VaultSettings } from '../../../../src/daemon/sources/vault/settings.ts'
import type { Session, VaultApi } from '../../../../src/daemon/sources/vault/vault-api.ts'
import type { JwtWishes } from './pod-jwt.ts'

/** What an administrator of Vault does; never through Latchkey. */
export interface VaultAdmin {
  putKv1(path: string, data: Readonly<Record<string, unknown>>): Promise<void>
  putKv2(path: string, data: Readonly<Record<string, unknown>>): Promise<void>
  deleteKv2(path: string, version: number): Promise<void>
  destroyKv2(path: string, version: number): Promise<void>
  /** With all versions and its metadata. */
  forgetKv2(path: string): Promise<void>
  putLeased(path: string, data: Readonly<Record<string, unknown>>): Promise<void>
  endSession(token: SecretBytes): Promise<void>
  livingLeases(prefix: string): Promise<number>
  /** Vault's own id of the request that carried one of ours, and the pod that it names. */
  audited(callId: string): Promise<AuditedCall | undefined>
}

export interface AuditedCall {
  readonly requestId: string
  readonly pod: string | undefined
}

/**
 * A Vault with these things in it: engines kv1/, kv2/, leased/ (KV version 1 with leases) and pki/ (role
 * `web` for web.shop), the jwt method at auth/jwt, and roles for service account shop/api and audience
 * `vault`: `api`, which may read shop/* everywhere, issue, and revoke leases; `short`, which ends after
 * 20 s; `batch`, whose tokens cannot be renewed; `nothing`, which may do nothing.
 */
export interface VaultWorld {
  readonly admin: VaultAdmin
  /** Users of the database that engine database/ makes users in, for role `web`: 30 s, 90 s at most. */
  readonly databaseUsers: (() => Promise<readonly string[]>) | undefined
  /** Every call that the APIs of this world have made. */
  readonly calls: readonly FinishedCall[]
  /** Closed with the world. */
  api(changes?: Partial<VaultSettings>): VaultApi
  jwt(wishes?: JwtWishes): SecretBytes
  /** Something that nobody else in this Vault uses. */
  uniqueName(): string
}

export interface ContractCase {
  readonly title: string
  /** What not every world has. */
  readonly needs?: 'a database' | 'namespaces'
  readonly run: (t: ExecutionContext, world: VaultWorld) => Promise<void>
}

export const signal = (): AbortSignal => AbortSignal.timeout(20_000)

export async function logIn(
  world: VaultWorld,
  api: VaultApi,
  role = 'api',
  wishes: JwtWishes = {},
): Promise<Session> {
  const { token } = await api.login(world.jwt(wishes), role, signal())
  return { token, role }
}

export async function failureOf(work: Promise<unknown>): Promise<LatchkeyError> {
  try {
    await work
  } catch (thrown) {
    return thrown as LatchkeyError
  }
  throw new Error('it did not fail')
}

export function textsOf(entries: ReadonlyMap<string, SecretBytes>): Record<string, string> {
  return Object.fromEntries([...entries].map(([name, value]) => [name, textOf(value)]))
}

export function textOf(secret: SecretBytes): string {
  return secret.use((bytes) => bytes.toString())
}

/** Asks, and answers with the refusal. */
export async function refusal(
  api: VaultApi,
  session: Session,
  ref: SecretRef,
): Promise<{ readonly reason: string; readonly message: string; readonly trouble?: string }> {
  const { reason, message, ...rest } = await failureOf(api.read(session, ref, signal()))
  return 'trouble' in rest && typeof rest.trouble === 'string'
    ? { reason, message, trouble: rest.trouble }
    : { reason, message }
}

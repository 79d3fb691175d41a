import type { Clock } from '../../../../src/core/clock.ts'
import { SecretBytes } from '../../../../src/core/secret-bytes.ts'
import type { Session, VaultApi } from '../../../../src/daemon/sources/vault/vault-api.ts'
import { VaultError } from '../../../../src/daemon/sources/vault/vault-error.ts'
import { settingsFor } from './double-world.ts'

interface ScriptedToken {
  readonly createdAtMs: number
  expiresAtMs: number
}

export const deadToken = (): VaultError =>
  new VaultError('AccessDenied', 'Vault has ended the session', { trouble: 'dead-token' })
export const away = (): VaultError =>
  new VaultError('SourceUnavailable', 'Vault is sealed', { isSourceWide: true })

/** A Vault in memory that keeps tokens only, on a test's clock, without a wire in between. */
export class ScriptedApi implements VaultApi {
  readonly settings = settingsFor('https://vault.invalid')
  readonly living = new Map<string, ScriptedToken>()
  /** The pod tokens that logins came with, in their order. */
  readonly logins: string[] = []
  readonly renewals: string[] = []
  readonly revoked: string[] = []
  ttlMs = 600_000
  maxTtlMs = 86_400_000
  isRenewable = true
  /** Called before each call is answered; throws what it is to fail with. */
  before: (call: string, text: string) => Promise<void> | undefined = () => undefined
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async login(jwt: SecretBytes): ReturnType<VaultApi['login']> {
    const text = textOf(jwt)
    this.logins.push(text)
    const token = `hvs.session-${this.logins.length}`
    await this.before('login', text)
    const nowMs = this.#clock.now()
    this.living.set(token, { createdAtMs: nowMs, expiresAtMs: nowMs + this.ttlMs })
    const renewable = this.isRenewable
    const bytes = new SecretBytes(Buffer.from(token))
    return { token: bytes, policies: [], requestId: '', durationMs: this.ttlMs, renewable }
  }

  forTenant(): this {
    return this
  }

  mayLease(): Promise<boolean> {
    return Promise.resolve(false)
  }

  async renewSelf({ token }: Session, incrementMs: number): ReturnType<VaultApi['renewSelf']> {
    const text = textOf(token)
    this.renewals.push(text)
    await this.before('renew', text)
    const own = this.#alive(text)
    const nowMs = this.#clock.now()
    own.expiresAtMs = Math.min(nowMs + incrementMs, own.createdAtMs + this.maxTtlMs)
    return { durationMs: own.expiresAtMs - nowMs, renewable: true, requestId: '' }
  }

  async lookupSelf({ token }: Session): ReturnType<VaultApi['lookupSelf']> {
    const text = textOf(token)
    await this.before('lookup', text)
    const remainingMs = this.#alive(text).expiresAtMs - this.#clock.now()
    return { remainingMs, lifeMs: this.ttlMs, renewable: this.isRenewable }
  }

  async revokeSelf({ token }: Session): Promise<void> {
    const text = textOf(token)
    await this.before('revoke', text)
    this.revoked.push(text)
    this.living.delete(text)
  }

  read(): never {
    throw new Error('nobody reads here')
  }

  renewLease(): never {
    throw new Error('nobody leases here')
  }

  revokeLease(): never {
    throw new Error('nobody leases here')
  }

  close(): void {
    this.living.clear()
  }

  #alive(token: string): ScriptedToken {
    const own = this.living.get(token)
    if (own === undefined || own.expiresAtMs <= this.#clock.now()) throw deadToken()
    return own
  }
}

export function textOf(secret: SecretBytes): string {
  return secret.use((bytes) => bytes.toString())
}

import { randomBytes } from 'node:crypto'
import type { Clock } from '../../../core/clock.ts'
import type { SecretBytes } from '../../../core/secret-bytes.ts'
import type { Term } from './answer.ts'
import { Caller, type FinishedCall } from './caller.ts'
import { emptyEndedMemory, tellingEnded } from './ended-session.ts'
import { createLeaseCalls } from './lease-calls.ts'
import { createLogin, type Login } from './login.ts'
import { Pace } from './pace.ts'
import type { VaultSecret } from './read-answer.ts'
import { createReader } from './read.ts'
import type { SecretRef } from './secret-ref.ts'
import { checkSettings, type VaultSettings } from './settings.ts'
import { VaultTransport } from './transport.ts'

export interface VaultApiOptions extends VaultSettings {
  readonly clock: Clock
  /** For jitter. */
  readonly random?: () => number
  readonly onCall?: (call: FinishedCall) => void
}

const MAX_VIEWS = 256

/** What a renewal came to. */
export interface Renewed extends Term {
  readonly requestId: string
}

/** What a session's token is like now. */
export interface TokenState {
  /** Infinity for one that never ends. */
  readonly remainingMs: number
  /** What it was given at its beginning; what remains where Vault does not say. */
  readonly lifeMs: number
  readonly renewable: boolean
}

/** Who reads, for the sentences of errors. */
export interface Session {
  readonly token: SecretBytes
  readonly role: string | undefined
}

/**
 * One Vault or OpenBao.
 *
 * Throws (every call): SourceUnavailable, with `retryAfterMs` where known · Timeout · PayloadTooLarge ·
 * Overloaded · InvalidRequest · AccessDenied, of which `trouble: 'dead-token'` deserves one new login ·
 * the signal's reason.
 */
export interface VaultApi {
  readonly settings: VaultSettings
  /** Also throws: TokenRejected, naming the CSIDriver's line for a wrong audience. */
  login(jwt: SecretBytes, role: string, signal: AbortSignal): Promise<Login>
  /** Also throws: SecretNotFound. */
  read(session: Session, ref: SecretRef, signal: AbortSignal): Promise<VaultSecret>
  /** Whether reading it may lease something: it lies in no KV engine, as far as the session may know. */
  mayLease(session: Session, ref: SecretRef, signal: AbortSignal): Promise<boolean>
  /** A lease that is gone: SecretNotFound with `trouble: 'gone-lease'`. */
  renewLease(
    session: Session,
    lease: SecretBytes,
    incrementMs: number,
    signal: AbortSignal,
  ): Promise<Renewed>
  /** A lease that is gone already is none that is left. */
  revokeLease(session: Session, lease: SecretBytes, signal: AbortSignal): Promise<void>
  renewSelf(session: Session, incrementMs: number, signal: AbortSignal): Promise<Renewed>
  lookupSelf(session: Session, signal: AbortSignal): Promise<TokenState>
  /** Ends the session and every lease under it. A session that is gone already is none that is left. */
  revokeSelf(session: Session, signal: AbortSignal): Promise<void>
  /** The same Vault as a namespace calls it: namespaces take turns where calls wait. */
  forTenant(namespace: string): VaultApi
  /** Ends every call under way, whoever's; revokes nothing. */
  close(): void
}

/** Throws: InvalidRequest, naming the setting to mend. */
export function createVaultApi(options: VaultApiOptions): VaultApi {
  const { clock, random = Math.random, onCall, ...settings } = options
  checkSettings(settings)
  const transport = new VaultTransport(settings, clock)
  const { name, limits } = settings
  const pace = new Pace({ name, ...limits, clock, random })
  const digestKey = randomBytes(32)
  const memory = emptyEndedMemory()
  const views = new Map<string, VaultApi>()
  const forTenant = (tenant: string): VaultApi => {
    const known = views.get(tenant)
    if (known !== undefined) return known
    const calls = new Caller({ settings, transport, pace, clock, onCall, tenant })
    const { calls: caller, learning } = tellingEnded(calls, settings, memory)
    const view = {
      settings,
      login: learning(createLogin(caller, settings)),
      ...createReader({ caller, settings, clock, digestKey }),
      ...createLeaseCalls(caller, settings),
      forTenant,
      close: () => {
        transport.close()
      },
    }
    // What a view has learnt is learnt again.
    if (views.size >= MAX_VIEWS) views.clear()
    views.set(tenant, view)
    return view
  }
  return forTenant('')
}

import { randomBytes } from 'node:crypto'
import type { Clock } from '../../../../src/core/clock.ts'
import type { DoubleOptions } from './vault-double.ts'

export type Capability = 'create' | 'read' | 'update' | 'delete' | 'list' | 'sudo'

/** As in a policy file; the longest path that fits counts, `*` at its end fits anything. */
export type Policy = Readonly<Record<string, readonly Capability[]>>

export interface Role {
  readonly audience: string
  readonly namespace: string
  /** `*` for any. */
  readonly serviceAccount: string
  readonly policies: readonly string[]
  readonly ttlMs: number
  readonly maxTtlMs: number
  readonly isBatch?: boolean
}

export interface Token {
  readonly id: string
  readonly role: string
  readonly pod: string
  readonly policies: readonly string[]
  readonly createdAtMs: number
  readonly ttlMs: number
  readonly maxTtlMs: number
  readonly renewable: boolean
  expiresAtMs: number
}

export interface Lease {
  readonly id: string
  readonly token: Token
  readonly createdAtMs: number
  readonly maxTtlMs: number
  readonly onEnd: () => void
  expiresAtMs: number
}

/** What every token may do without being told so, as Vault's own policy "default" has it. */
const DEFAULT_POLICY: Policy = {
  'auth/token/lookup-self': ['read'],
  'auth/token/renew-self': ['update'],
  'auth/token/revoke-self': ['update'],
  'sys/leases/renew': ['update'],
  'sys/leases/lookup': ['update'],
  'sys/internal/ui/mounts/*': ['read'],
}

/** Tokens and the leases under them, which end with them. */
export class DoubleSessions {
  readonly policies = new Map<string, Policy>([['default', DEFAULT_POLICY]])
  readonly tokens = new Map<string, Token>()
  readonly leases = new Map<string, Lease>()
  /** Ends tokens and leases of a namespace; undefined where everything lives in none. */
  readonly namespaceId: string | undefined
  readonly #clock: Clock
  readonly #prefix: string

  constructor(
    clock: Clock,
    { namespace, server }: Pick<DoubleOptions, 'namespace' | 'server'> = {},
  ) {
    this.#clock = clock
    this.#prefix = server === 'openbao' ? 's' : 'hvs'
    this.namespaceId = namespace === undefined ? undefined : randomBytes(3).toString('hex')
  }

  open(name: string, role: Role, pod: string): Token {
    const nowMs = this.#clock.now()
    const token: Token = {
      id: this.#named(`${this.#prefix}.${randomBytes(24).toString('hex')}`),
      role: name,
      pod,
      policies: ['default', ...role.policies],
      createdAtMs: nowMs,
      ttlMs: role.ttlMs,
      maxTtlMs: role.maxTtlMs,
      renewable: role.isBatch !== true,
      expiresAtMs: nowMs + role.ttlMs,
    }
    this.tokens.set(token.id, token)
    return token
  }

  #named(id: string): string {
    return this.namespaceId === undefined ? id : `${id}.${this.namespaceId}`
  }

  /** Undefined for one that is none, or none any more. */
  living(id: string | undefined): Token | undefined {
    this.#sweep()
    return id === undefined ? undefined : this.tokens.get(id)
  }

  lease(token: Token, prefix: string, ttlMs: number, maxTtlMs: number, onEnd: () => void): Lease {
    const nowMs = this.#clock.now()
    const id = this.#named(`${prefix}/${randomBytes(12).toString('base64url')}`)
    const lease = { id, token, createdAtMs: nowMs, maxTtlMs, onEnd, expiresAtMs: nowMs + ttlMs }
    this.leases.set(id, lease)
    return lease
  }

  /** New remaining seconds of a token or lease; both end at their longest life, whatever is asked. */
  renew(what: Token | Lease, incrementMs: number): number {
    const nowMs = this.#clock.now()
    what.expiresAtMs = Math.min(nowMs + incrementMs, what.createdAtMs + what.maxTtlMs)
    return Math.floor((what.expiresAtMs - nowMs) / 1000)
  }

  endToken(token: Token): void {
    this.tokens.delete(token.id)
    for (const lease of this.leases.values()) if (lease.token === token) this.endLease(lease)
  }

  endLease(lease: Lease): void {
    if (this.leases.delete(lease.id)) lease.onEnd()
  }

  livingLeases(prefix: string): number {
    this.#sweep()
    return [...this.leases.keys()].filter((id) => id.startsWith(prefix)).length
  }

  /** Whether a token's policies grant something on a path. */
  isAllowed(token: Token, path: string, capability: Capability): boolean {
    const rules = token.policies.flatMap((name) => Object.entries(this.policies.get(name) ?? {}))
    const [best] = rules
      .filter(([rule]) => fits(rule, path))
      .toSorted(([a], [b]) => b.length - a.length)
    return best?.[1].includes(capability) ?? false
  }

  /** Whether it may do anything at all below a path. */
  hasSome(token: Token, mountPath: string): boolean {
    return token.policies
      .flatMap((name) => Object.keys(this.policies.get(name) ?? {}))
      .some((rule) => rule.startsWith(mountPath) || fits(rule, mountPath))
  }

  #sweep(): void {
    const nowMs = this.#clock.now()
    for (const token of [...this.tokens.values()]) {
      if (token.expiresAtMs <= nowMs) this.endToken(token)
    }
    for (const lease of [...this.leases.values()]) {
      if (lease.expiresAtMs <= nowMs) this.endLease(lease)
    }
  }
}

function fits(rule: string, path: string): boolean {
  return rule.endsWith('*') ? path.startsWith(rule.slice(0, -1)) : rule === path
}

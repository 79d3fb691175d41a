import { randomBytes } from 'node:crypto'
import type { Clock } from '../../../../src/core/clock.ts'
import type { DoubleSessions, Token } from './double-sessions.ts'

/** What an engine answers, before it is dressed as an answer of Vault's. */
export interface EngineAnswer {
  readonly status: number
  readonly data?: unknown
  readonly errors?: readonly string[]
  readonly leaseId?: string
  readonly leaseSeconds?: number
  readonly renewable?: boolean
}

export interface EngineRequest {
  readonly method: string
  /** Below the mount. */
  readonly path: string
  readonly query: URLSearchParams
  readonly body: Readonly<Record<string, unknown>>
  readonly token: Token
  readonly mountPath: string
}

export interface Engine {
  readonly type: string
  readonly options: Readonly<Record<string, string>> | null
  answer(request: EngineRequest): EngineAnswer
}

const MISSING: EngineAnswer = { status: 404, errors: [] }
const UNSUPPORTED: EngineAnswer = {
  status: 405,
  errors: ['1 error occurred:\n\t* unsupported operation\n\n'],
}

interface Version {
  data: Readonly<Record<string, unknown>> | null
  createdMs: number
  deletedMs: number | undefined
  destroyed: boolean
}

/** KV version 2. */
export class Kv2 implements Engine {
  readonly type = 'kv'
  readonly options = { version: '2' }
  readonly #secrets = new Map<string, Version[]>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  put(path: string, data: Readonly<Record<string, unknown>>): void {
    const versions = this.#secrets.get(path) ?? []
    versions.push({ data, createdMs: this.#clock.now(), deletedMs: undefined, destroyed: false })
    this.#secrets.set(path, versions)
  }

  delete(path: string, version: number): void {
    const found = this.#secrets.get(path)?.[version - 1]
    if (found !== undefined) found.deletedMs = this.#clock.now()
  }

  destroy(path: string, version: number): void {
    const found = this.#secrets.get(path)?.[version - 1]
    if (found !== undefined) Object.assign(found, { destroyed: true, data: null })
  }

  forget(path: string): void {
    this.#secrets.delete(path)
  }

  answer({ method, path, query }: EngineRequest): EngineAnswer {
    if (method !== 'GET') return UNSUPPORTED
    if (!path.startsWith('data/')) {
      return {
        status: 404,
        errors: [],
      }
    }
    const versions = this.#secrets.get(path.slice('data/'.length))
    if (versions === undefined) return MISSING
    const number = Number(query.get('version') ?? versions.length)
    const version = versions[number - 1]
    if (version === undefined) return MISSING
    const isGone = version.destroyed || version.deletedMs !== undefined
    const metadata = {
      created_time: time(version.createdMs),
      custom_metadata: null,
      deletion_time: version.deletedMs === undefined ? '' : time(version.deletedMs),
      destroyed: version.destroyed,
      version: number,
    }
    return { status: isGone ? 404 : 200, data: { data: isGone ? null : version.data, metadata } }
  }
}

/** KV version 1; with leases where the mount was made so (`leased_passthrough`). */
export class Kv1 implements Engine {
  readonly type = 'kv'
  readonly options: Engine['options']
  readonly #secrets = new Map<string, Readonly<Record<string, unknown>>>()
  readonly #leases: DoubleSessions | undefined

  constructor(leases?: DoubleSessions) {
    this.#leases = leases
    this.options = leases === undefined ? null : { leased_passthrough: 'true', version: '1' }
  }

  put(path: string, data: Readonly<Record<string, unknown>>): void {
    this.#secrets.set(path, data)
  }

  answer({ method, path, token, mountPath }: EngineRequest): EngineAnswer {
    if (method !== 'GET') return { status: 204 }
    const data = this.#secrets.get(path)
    if (data === undefined) return MISSING
    const ttlS = parseInt(typeof data['ttl'] === 'string' ? data['ttl'] : '2764800', 10)
    if (this.#leases === undefined) return { status: 200, data, leaseSeconds: ttlS }
    const forever = 32 * 86_400_000
    const lease = this.#leases.lease(token, mountPath + path, ttlS * 1000, forever, () => undefined)
    return { status: 200, data, leaseId: lease.id, leaseSeconds: ttlS, renewable: true }
  }
}

/** Makes a user per read, and drops it with its lease. */
export class Database implements Engine {
  readonly type = 'database'
  readonly options = null
  readonly users = new Set<string>()
  readonly #sessions: DoubleSessions
  readonly #ttlMs: number
  readonly #maxTtlMs: number

  constructor(sessions: DoubleSessions, ttlMs: number, maxTtlMs: number) {
    this.#sessions = sessions
    this.#ttlMs = ttlMs
    this.#maxTtlMs = maxTtlMs
  }

  answer({ method, path, token, mountPath }: EngineRequest): EngineAnswer {
    if (!path.startsWith('creds/')) return MISSING
    if (method !== 'GET') return UNSUPPORTED
    const username = `v-${token.role}-${randomBytes(8).toString('hex')}`
    this.users.add(username)
    const lease = this.#sessions.lease(token, mountPath + path, this.#ttlMs, this.#maxTtlMs, () => {
      this.users.delete(username)
    })
    return {
      status: 200,
      data: { password: randomBytes(12).toString('base64url'), username },
      leaseId: lease.id,
      leaseSeconds: this.#ttlMs / 1000,
      renewable: true,
    }
  }
}

/** Gives what looks like a certificate; its ends are real, its bytes are not. */
export class Pki implements Engine {
  readonly type = 'pki'
  readonly options = null
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  answer({ method, path, body }: EngineRequest): EngineAnswer {
    if (!path.startsWith('issue/')) return MISSING
    if (method === 'GET') return UNSUPPORTED
    const name = body['common_name']
    if (typeof name !== 'string') {
      return { status: 400, errors: ['the common_name field is required'] }
    }
    const serial = randomBytes(10).toString('hex')
    const ttlS = parseInt(typeof body['ttl'] === 'string' ? body['ttl'] : '3600', 10)
    const issuer = pem('CERTIFICATE', 'issuer')
    return {
      status: 200,
      data: {
        ca_chain: [issuer],
        certificate: pem('CERTIFICATE', `${name} ${serial}`),
        expiration: Math.floor(this.#clock.now() / 1000) + ttlS,
        issuing_ca: issuer,
        private_key: pem('RSA PRIVATE KEY', randomBytes(24).toString('hex')),
        private_key_type: 'rsa',
        serial_number: serial,
      },
    }
  }
}

function pem(what: string, content: string): string {
  return `-----BEGIN ${what}-----\n${Buffer.from(content).toString('base64')}\n-----END ${what}-----`
}

function time(ms: number): string {
  return new Date(ms).toISOString()
}

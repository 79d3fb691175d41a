import { systemClock } from '../../src/core/clock.ts'
import { LATCHKEY_DRIVER, type CsiDriver } from '../../src/minicluster/csi-driver.ts'
import type { Minicluster } from '../../src/minicluster/minicluster.ts'
import { checkClusterJwt } from '../integration/cluster-jwt.ts'
import type { Engine, EngineAnswer, EngineRequest } from '../daemon/sources/vault/double-engines.ts'
import { VaultDouble } from '../daemon/sources/vault/vault-double.ts'
import type { Finding } from './findings.ts'
import { filesOf } from './generation-files.ts'

const DAY_MS = 86_400_000
/** What the daemon is told: it renews soon, and replaces soon. */
const LEASE_SECONDS = 9
const LONGEST_LEASE_MS = 20_000
/** What was under way when a host died may come to be a little later, and be looked for a little later. */
const SLACK_MS = 10_000

const NAME = 'vault-prod'

/** A driver that asks for a token for the Vault, too. */
export const LEASING_DRIVER: CsiDriver = {
  ...LATCHKEY_DRIVER,
  tokenRequests: [...LATCHKEY_DRIVER.tokenRequests, { audience: 'vault', expirationSeconds: 600 }],
}

/**
 * A Vault beside a node that crashes. Its users are numbered, and what one is given follows from the number, as with
 * the generations of a Secret: so a pod's files tell whose they are.
 */
export class SoakVault {
  readonly double: VaultDouble
  readonly #users = new Map<number, { readonly madeAtMs: number }>()
  /** By pod: every user that it was seen to have. */
  readonly #shown = new Map<string, Set<number>>()
  #made = 0
  readonly #sessionTtlMs: number
  #hostDiedAtMs = 0

  private constructor(double: VaultDouble, sessionTtlMs: number) {
    this.double = double
    this.#sessionTtlMs = sessionTtlMs
  }

  /** What nobody renews ends after `sessionTtlMs`: the bound where bookmarks are lost with a host. */
  static async start({ objects }: Minicluster, sessionTtlMs: number): Promise<SoakVault> {
    const double = await VaultDouble.start({
      clock: systemClock,
      checkJwt: (jwt) => checkClusterJwt(jwt, objects.tokens),
    })
    const vault = new SoakVault(double, sessionTtlMs)
    const engine: Engine = {
      type: 'database',
      options: null,
      answer: (request) => vault.#make(request),
    }
    double.engines.set('database/', engine)
    double.sessions.policies.set('shop', { 'database/creds/*': ['read'] })
    double.roles.set('shop', {
      audience: 'vault',
      namespace: 'shop',
      serviceAccount: 'api',
      policies: ['shop'],
      ttlMs: sessionTtlMs,
      maxTtlMs: DAY_MS,
    })
    return vault
  }

  /** For the daemon's configuration. */
  get source(): object {
    const auth = { method: 'jwt', mount: 'jwt', role: 'shop', audience: 'vault' }
    return { kind: 'vault', name: NAME, address: this.double.address, auth }
  }

  /** Users made so far. */
  get made(): number {
    return this.#made
  }

  attributesOf(path: string): Readonly<Record<string, string>> {
    return { items: `[{ from: ${NAME}, secret: database/creds/${path} }]` }
  }

  isUser(number: number): boolean {
    return this.#users.has(number)
  }

  noteShown(pod: string, number: number): void {
    const shown = this.#shown.get(pod) ?? new Set()
    this.#shown.set(pod, shown.add(number))
  }

  /** The bookmarks are gone with it. */
  noteHostDeath(): void {
    this.#hostDiedAtMs = Date.now()
  }

  /** Users who are no living pod's, and whom no death of a host excuses for the time of a session. */
  *strays(living: ReadonlySet<string>): Generator<Finding, void> {
    // Ends what is over, as any call would.
    this.double.sessions.living(undefined)
    for (const pod of this.#shown.keys()) if (!living.has(pod)) this.#shown.delete(pod)
    const known = new Set([...this.#shown.values()].flatMap((numbers) => [...numbers]))
    const excusedUntilMs = this.#hostDiedAtMs + this.#sessionTtlMs + SLACK_MS
    const nowMs = Date.now()
    for (const [number, { madeAtMs }] of this.#users) {
      if (known.has(number)) continue
      const isExcused = nowMs < excusedUntilMs && madeAtMs < this.#hostDiedAtMs + SLACK_MS
      if (isExcused) continue
      const age = ((nowMs - madeAtMs) / 1000).toFixed(1)
      yield { kind: 'strays', what: `user ${number}, made ${age} s ago, is no living pod's` }
    }
  }

  /** When the last death of a host excuses nothing any more. */
  get excusedForMs(): number {
    return Math.max(0, this.#hostDiedAtMs + this.#sessionTtlMs + SLACK_MS - Date.now())
  }

  async stop(): Promise<void> {
    await this.double.close()
  }

  #make({ token, mountPath, path }: EngineRequest): EngineAnswer {
    this.#made += 1
    const number = this.#made
    this.#users.set(number, { madeAtMs: Date.now() })
    const { sessions } = this.double
    // Left alone, a user stays for a day: nothing but what the daemon does makes it go.
    const lease = sessions.lease(token, mountPath + path, DAY_MS, LONGEST_LEASE_MS, () => {
      this.#users.delete(number)
    })
    const files = Object.entries(filesOf('user', number))
    return {
      status: 200,
      data: Object.fromEntries(files.map(([name, bytes]) => [name, bytes.toString('latin1')])),
      leaseId: lease.id,
      leaseSeconds: LEASE_SECONDS,
      renewable: true,
    }
  }
}

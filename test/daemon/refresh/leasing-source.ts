import { LatchkeyError, type Reason } from '../../../src/core/errors.ts'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { Hold, HoldOptions, Login } from '../../../src/daemon/sources/hold.ts'
import type { Lease, Source, Value } from '../../../src/daemon/sources/source.ts'
import type { FakeClock } from '../../support/fake-clock.ts'

const LIFE_MS = 60_000

/** A source that mints a user for each fetch, and knows which of them live. */
export class LeasingSource implements Source {
  readonly name = 'vault'
  readonly audience = 'vault'
  readonly clock: FakeClock
  /** Users that have been made and not given back. */
  readonly users = new Set<string>()
  readonly renewals: string[] = []
  readonly resumed: string[] = []
  /** Of those, the ones that were in doubt. */
  readonly doubted: string[] = []
  /** Of the last hold. */
  isShown = false
  /** What was doubted, and whether the pod may see what is leased beside it. */
  readonly doubts: [string, boolean][] = []
  settled = 0
  fetches = 0
  holds = 0
  releases = 0
  drops = 0
  opened = 0
  away: Reason | undefined
  isRenewable = true
  /** What a renewal comes to. */
  renewedMs = LIFE_MS
  isAcknowledging = true
  /** Secrets without an end. */
  readonly endless = new Set<string>()
  onReplaced: HoldOptions['onReplaced'] = () => undefined
  #made = 0

  constructor(clock: FakeClock) {
    this.clock = clock
  }

  fetch(_workload: unknown, ask: string): Promise<Value> {
    this.fetches += 1
    if (this.away !== undefined) return Promise.reject(new LatchkeyError(this.away, 'away'))
    const plain = { version: '1', immutable: false }
    if (this.endless.has(ask)) {
      return Promise.resolve({ ...plain, entries: new Map([['k', secret('static')]]) })
    }
    this.#made += 1
    const user = `u-${this.#made}`
    this.users.add(user)
    const lease = { id: secret(user), isRenewable: this.isRenewable }
    const term = { lease, lifeMs: LIFE_MS, endsAtMs: this.clock.now() + LIFE_MS }
    return Promise.resolve({ ...plain, entries: new Map([['user', secret(user)]]), term })
  }

  hold(_workload: unknown, _asks: readonly string[], options: HoldOptions): Hold {
    this.holds += 1
    this.onReplaced = options.onReplaced
    this.isShown = options.isShown
    this.resumed.push(...options.resume.map(({ token }) => text(token)))
    const doubted = options.resume.filter(({ isDoubted }) => isDoubted)
    this.doubted.push(...doubted.map(({ token }) => text(token)))
    return {
      offer: () => undefined,
      open: () => {
        this.opened += 1
        return this.#unlessAway(undefined)
      },
      mayLease: () => true,
      prolong: (_ask, lease) => {
        this.renewals.push(text(lease.id))
        if (!this.users.has(text(lease.id))) {
          return Promise.reject(new LatchkeyError('SecretNotFound', 'no such lease'))
        }
        const endsAtMs = this.clock.now() + this.renewedMs
        return this.#unlessAway({ endsAtMs, isRenewable: true })
      },
      giveBack: (_ask, lease: Lease) => {
        if (this.away === undefined) this.users.delete(text(lease.id))
        return this.#unlessAway(undefined)
      },
      doubt: (ask, isShown) => {
        this.doubts.push([ask, isShown])
      },
      settle: () => {
        this.settled += 1
      },
      logins: (): readonly Login[] => [
        {
          source: 'vault',
          role: 'r',
          token: secret('session-1'),
          isOwn: true,
          isDoubted: false,
        },
      ],
      drop: () => {
        this.drops += 1
      },
      release: () => {
        this.releases += 1
        return Promise.resolve(this.isAcknowledging)
      },
    }
  }

  #unlessAway<T>(value: T): Promise<T> {
    if (this.away !== undefined) return Promise.reject(new LatchkeyError(this.away, 'away'))
    return Promise.resolve(value)
  }
}

function secret(text: string): SecretBytes {
  return SecretBytes.copyOf(Buffer.from(text))
}

function text(bytes: SecretBytes): string {
  return bytes.use((own) => own.toString())
}

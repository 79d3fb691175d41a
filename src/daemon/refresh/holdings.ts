import { createHash, randomUUID } from 'node:crypto'
import type { Clock } from '../../core/clock.ts'
import { LatchkeyError, type Reason } from '../../core/errors.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'
import type { Logger } from '../../observability/log.ts'
import type { Workload } from '../identity/workload.ts'
import { isUnheard, type Hold, type Login } from '../sources/hold.ts'
import type { Item } from '../sources/item.ts'
import { askOf, keyOfAsk, secretKeyOf, type SecretKey } from '../sources/secret-key.ts'
import type { Fetched, Fetching } from '../sources/serve-last.ts'
import type { Source } from '../sources/source.ts'
import { copyValue } from '../sources/value-bytes.ts'
import { accountOf, isSameAccount, writeBookmark } from './bookmark.ts'
import type { Account, Bookmark, HeldSecret } from './bookmark.ts'
import { HeldSecrets, type Held } from './held-secrets.ts'
import { LeaseTender } from './lease-tender.ts'

export interface HoldingsParts {
  readonly sources: ReadonlyMap<string, Source>
  readonly clock: Clock
  readonly log: Logger
  readonly random?: () => number
}

/** What is to be held: a pod's, or what a bookmark says. */
interface Beginning {
  readonly workload: Workload
  /** What the volume names, by source. */
  readonly asks: ReadonlyMap<string, readonly string[]>
  readonly bookmark: Bookmark | undefined
}

/** After a restart nobody knows what is left of a lease; asked soon, and not by all volumes at once. */
const SOON_MS = 5_000

/** Asking again would change nothing: the session that it hangs on has ended, with its namespace even, or may not end leases. */
const IN_VAIN: ReadonlySet<Reason> = new Set([
  'AccessDenied',
  'InvalidRequest',
  'SecretNotFound',
  'TokenMissing',
  'TokenRejected',
])

/**
 * What one volume holds at its sources: sessions, and the secrets that end by themselves. They are kept alive while
 * anybody serves the volume, and given back with it, never sooner.
 */
export class Holdings {
  readonly #account: Account
  readonly #holds: ReadonlyMap<string, Hold>
  readonly #secrets: HeldSecrets
  readonly #tender: LeaseTender
  readonly #clock: Clock
  readonly #log: Logger
  /** What each shim was left last. */
  readonly #left = new WeakMap<object, Buffer>()
  /** Asked for, and found to end not by itself. */
  readonly #endless = new Set<SecretKey>()
  /** Names the sessions of its own; whoever takes the volume over goes on with those under another name. */
  readonly #holder = randomUUID()
  /** What was asked for and not heard of. */
  #unheard: Pick<HeldSecret, 'source' | 'ask'>[] = []
  #users = 0
  #isGivingBack = false
  #onDue: () => void = () => undefined

  /** undefined where none of the items' sources keeps sessions. Throws: InvalidRequest, as Source.hold. */
  static open(
    workload: Workload,
    items: readonly Item[],
    parts: HoldingsParts,
    bookmark: Bookmark | undefined,
  ): Holdings | undefined {
    const bySource = [...Map.groupBy(items, ({ from }) => from)]
    const keeping = bySource.filter(([from]) => parts.sources.get(from)?.hold !== undefined)
    if (keeping.length === 0) return undefined
    const asks = new Map(keeping.map(([from, uses]) => [from, [...new Set(uses.map(askOf))]]))
    return new Holdings({ workload, asks, bookmark }, parts)
  }

  /** Of a volume that is gone: only to be given back. */
  static forFarewell(bookmark: Bookmark, parts: HoldingsParts): Holdings {
    const { serviceAccountUid, ...account } = bookmark.account
    const pod = { ...account, name: '', uid: '' }
    const workload = { pod, serviceAccountUid, expiresAtMs: 0, tokens: new Map() }
    const asks = new Map(bookmark.logins.map(({ source }) => [source, []]))
    return new Holdings({ workload, asks, bookmark }, parts)
  }

  private constructor({ workload, asks, bookmark }: Beginning, parts: HoldingsParts) {
    const { sources, clock, log, random = Math.random } = parts
    this.#clock = clock
    this.#log = log
    this.#account = accountOf(workload)
    const ours = isSameAccount(bookmark?.account, this.#account) ? bookmark : undefined
    const holder = this.#holder
    const hold = (name: string, named: readonly string[]): readonly (readonly [string, Hold])[] => {
      const resume = ours === undefined ? [] : loginsAt(ours, name)
      // A bookmark that was too full for the values has their leases among those replaced.
      const leased = [...(ours?.held ?? []), ...(ours?.replaced ?? [])].filter(isLeased)
      const isShown = leased.some(({ source }) => source === name)
      const onReplaced = (role: string, endsAtMs: number): void => {
        this.#tender.loseLeases(name, role, endsAtMs)
      }
      const held = sources.get(name)?.hold?.(workload, named, {
        holder,
        resume,
        isShown,
        onReplaced,
      })
      return held === undefined ? [] : [[name, held]]
    }
    this.#holds = new Map([...asks].flatMap(([name, named]) => hold(name, named)))
    this.#secrets = new HeldSecrets(clock, random)
    const onDue = (): void => {
      this.#onDue()
    }
    const [secrets, holds] = [this.#secrets, this.#holds]
    this.#tender = new LeaseTender({ secrets, holds, clock, random, log, onDue })
    for (const secret of ours?.held ?? []) {
      const isNamed = asks.get(secret.source)?.includes(secret.ask) === true
      const soonMs = clock.now() + Math.round(SOON_MS * random())
      const isLost = ours?.isAsking === true && hasOwnLogin(ours, secret)
      if (isNamed) this.#secrets.put(secret, soonMs, secret.isDue || isLost)
      else this.#secrets.retire(secret)
    }
    for (const secret of ours?.replaced ?? []) this.#secrets.retire(secret)
    this.#tender.arm()
  }

  /** Called when something has to be asked for anew. */
  set onDue(onDue: () => void) {
    this.#onDue = onDue
  }

  offer(workload: Workload): void {
    for (const hold of this.#holds.values()) hold.offer(workload)
  }

  /** Opens a session at every source. Throws as Source.fetch. */
  async openSessions(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#holds.values().map((hold) => hold.open(signal)))
  }

  /** The same way to values, but what is held is not asked for before it is due. */
  through(fetching: Fetching): Fetching {
    return {
      fetch: async (workload, from, ask, signal, lastForMs) => {
        const held = this.#secrets.get(from, ask)
        if (held?.isDue === false) return copyValue(held.value)
        try {
          const asking = { ...workload, holder: this.#holder }
          const fetched = await fetching.fetch(asking, from, ask, signal, lastForMs)
          const { term } = fetched
          if (term === undefined) this.#endless.add(keyOfAsk(from, ask))
          else this.#keep({ source: from, ask, value: { ...fetched, term }, isDue: false })
          return fetched
        } catch (thrown) {
          // Of what leases nothing no answer can be in doubt, however it failed.
          const mayLease = this.#holds.get(from)?.mayLease(ask) === true
          if (mayLease && (signal.aborted || isUnheard(thrown))) {
            this.#unheard.push({ source: from, ask })
          }
          if (held === undefined || signal.aborted) throw thrown
          return this.#asLongAsItLives(held, thrown)
        }
      },
    }
  }

  /**
   * Where an answer was lost, there may be a lease that nobody knows of: what hangs on the same session is leased anew
   * under another one. To be called when nothing is being asked for.
   */
  doubtUnheard(): void {
    for (const { source, ask } of this.#unheard.splice(0)) {
      const leased = this.#leasedAt(source)
      for (const held of leased) held.isDue = true
      this.#holds.get(source)?.doubt(ask, leased.length > 0)
    }
  }

  /** The pod sees what is held now: sessions end that are in doubt, and older leases when their time is over. */
  settle(): void {
    this.#secrets.settle()
    for (const [source, hold] of this.#holds) {
      if (this.#leasedAt(source).every(({ isDue }) => !isDue)) hold.settle()
    }
  }

  #leasedAt(source: string): readonly Held[] {
    return this.#secrets.held.filter((held) => held.source === source && isLeased(held))
  }

  /** Reports whether all that these items name is held, so that asking for them leases nothing. */
  covers(items: readonly Item[]): boolean {
    return items
      .filter(({ from }) => this.#holds.has(from))
      .every((item) => {
        const isHeld = this.#secrets.get(item.from, askOf(item))?.isDue === false
        return isHeld || this.#endless.has(secretKeyOf(item))
      })
  }

  /**
   * What a restarted daemon would go on with, to be wiped by the caller; undefined where this shim has been left the
   * same before. `isAsking`: something more is about to be leased.
   */
  bookmarkFor(shim: object, isAsking: boolean): SecretBytes | undefined {
    const logins = [...this.#holds.values().flatMap((hold) => hold.logins())]
    const { held, replaced } = this.#secrets
    const written = writeBookmark({ account: this.#account, logins, held, replaced, isAsking })
    for (const { token } of logins) token.wipe()
    const digest = written.use((bytes) => createHash('sha256').update(bytes).digest())
    if (this.#left.get(shim)?.equals(digest) === true) {
      written.wipe()
      return undefined
    }
    this.#left.set(shim, digest)
    return written
  }

  /** One more that serves the volume, and drops it in the end. */
  join(): this {
    this.#users += 1
    return this
  }

  /** Gives everything back, for good. Throws: SourceUnavailable and the like where that was not acknowledged. */
  async giveBack(signal: AbortSignal): Promise<void> {
    this.#isGivingBack = true
    this.#tender.stop()
    const { held, replaced } = this.#secrets
    const giving = [...held, ...replaced].map((secret) => this.#giveBackOne(secret, signal))
    const given = await Promise.allSettled(giving)
    this.#secrets.wipe()
    const released = await Promise.all(this.#holds.values().map((hold) => hold.release()))
    if (released.includes(false)) {
      const why = 'a source has not acknowledged the end of a session'
      throw new LatchkeyError('SourceUnavailable', why)
    }
    const failed = given.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw LatchkeyError.from(failed.reason)
  }

  /** With the last who drops it everything is forgotten, and nothing given back: whoever has the bookmark goes on. */
  drop(): void {
    this.#users -= 1
    if (this.#users > 0 || this.#isGivingBack) return
    this.#tender.stop()
    this.#secrets.wipe()
    for (const hold of this.#holds.values()) hold.drop()
  }

  async #giveBackOne({ source, ask, value }: HeldSecret, signal: AbortSignal): Promise<void> {
    const { lease, endsAtMs } = value.term
    if (lease === undefined || endsAtMs <= this.#clock.now()) return
    try {
      await this.#holds.get(source)?.giveBack(ask, lease, signal)
    } catch (thrown) {
      const { reason } = LatchkeyError.from(thrown)
      if (!IN_VAIN.has(reason)) throw thrown
      this.#log.warn(
        { source, reason },
        'lease not given back; it ends with its session or its time',
      )
    }
  }

  #keep(secret: HeldSecret): void {
    this.#secrets.keep(secret)
    this.#tender.arm()
  }

  #asLongAsItLives(held: Held, thrown: unknown): Fetched {
    const { reason } = LatchkeyError.from(thrown)
    if (held.value.term.endsAtMs <= this.#clock.now()) throw thrown
    return { ...copyValue(held.value), stale: { sinceMs: held.tendAtMs, reason } }
  }
}

function isLeased({ value }: HeldSecret): boolean {
  return value.term.lease !== undefined
}

function hasOwnLogin({ logins }: Bookmark, secret: HeldSecret): boolean {
  return isLeased(secret) && logins.some(({ source, isOwn }) => isOwn && source === secret.source)
}

/** A daemon that died while it asked has left sessions under which nobody knows what is leased. */
function loginsAt({ logins, isAsking }: Bookmark, source: string): readonly Login[] {
  return logins
    .filter((login) => login.source === source)
    .map((login) => ({ ...login, isDoubted: login.isDoubted || (login.isOwn && isAsking) }))
}

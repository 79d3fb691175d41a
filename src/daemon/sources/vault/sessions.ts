import { Backoff } from '../../../core/backoff.ts'
import { sleep, type Clock } from '../../../core/clock.ts'
import { LatchkeyError } from '../../../core/errors.ts'
import { SecretBytes } from '../../../core/secret-bytes.ts'
import type { PodToken } from './session-tokens.ts'
import type { LiveSession } from './session-shelf.ts'
import type { OnReplaced, SessionEvent } from './session-options.ts'
import { SharedSession } from './shared-session.ts'
import type { Session, VaultApi } from './vault-api.ts'

/** Whose session it is: what a Vault's roles are bound to. */
export interface SessionOwner {
  readonly namespace: string
  readonly serviceAccount: string
  readonly serviceAccountUid: string
  readonly role: string
  /** One volume's name for its own; undefined: shared by all of the account. */
  readonly holder?: string | undefined
}

export interface AcquireOptions {
  /**
   * Given up: the token of the volume's session before the daemon's restart. Where `use` lends another
   * one, that one had ended or been replaced, and what was leased under it is to be asked for anew.
   */
  readonly resume?: SecretBytes | undefined
  /** Given up: tokens under which something may be leased that nobody knows of. */
  readonly doubted?: readonly SecretBytes[]
  /** The pod may see what is leased under those. */
  readonly isShown?: boolean
  /** Called after each new login but the first. */
  readonly onReplaced?: OnReplaced | undefined
}

/** What became of a session when a volume let go of it. */
export type Farewell =
  /** Others hold it still. */
  | 'shared'
  /** Vault has acknowledged the end, or it had ended already, or never begun. */
  | 'ended'
  /** Vault stayed away; it ends by itself when its life is over. */
  | 'given-up'
  /** The daemon stops; its successor has the bookmark. */
  | 'closed'

/** One volume's part in a session. */
export interface SessionHandle {
  /** A newer token of the volume's pod; a copy is kept. */
  offer(token: PodToken): void
  /**
   * Calls with the session; logs in first where there is none, and once anew where Vault has ended it.
   * Throws: TokenMissing · what VaultApi.login throws · what `work` throws · the signal's reason.
   */
  use<T>(signal: AbortSignal, work: (session: LiveSession) => Promise<T>): Promise<T>
  /** Reports whether there has been a login, or one from before a restart, that has not ended. */
  isOpen(): boolean
  /** A copy of the token that a restarted daemon goes on with; undefined before the first login. */
  bookmark(): SecretBytes | undefined
  /** Copies of the tokens that are to be ended, and have not been yet. */
  doubted(): readonly SecretBytes[]
  /**
   * Nobody knows what was leased last: calls go on with another session. This one ends at once, or where the pod may
   * still see what is leased under it, with `settle`.
   */
  doubt(isShown: boolean): void
  /** The pod sees nothing that is leased under doubted ones. */
  settle(): void
  /** Lets go, for good. The last one to do so ends the session and the leases under it. */
  release(): Promise<Farewell>
  /** Lets go without a word to Vault, for good: somebody else goes on with the bookmark. */
  drop(): void
}

export interface VaultSessionsOptions {
  readonly api: VaultApi
  readonly clock: Clock
  readonly random?: () => number
  readonly onEvent?: (event: SessionEvent, owner: SessionOwner) => void
}

const RETRY_END = { firstMs: 1_000, maxMs: 30_000 }
/** How long the end of a session is tried for; then it is left to end by itself. */
const END_WITHIN_MS = 10 * 60_000

/** The sessions at one Vault: one login per service account and role, however many volumes share it. */
export class VaultSessions {
  readonly #options: Required<VaultSessionsOptions>
  readonly #shared = new Map<string, SharedSession>()
  readonly #closing = new AbortController()

  constructor({ random = Math.random, onEvent = () => undefined, ...rest }: VaultSessionsOptions) {
    this.#options = { random, onEvent, ...rest }
  }

  /** Sessions that are held, and have been opened. */
  get size(): number {
    return [...this.#shared.values()].filter(({ token }) => token !== undefined).length
  }

  /** Throws: ShuttingDown. */
  acquire(owner: SessionOwner, options: AcquireOptions = {}): SessionHandle {
    if (this.#closing.signal.aborted) throw stopping()
    const key = keyOf(owner)
    const shared = this.#shared.get(key) ?? this.#begin(key, owner)
    const holder = {}
    shared.join(holder, options.onReplaced ?? (() => undefined))
    const { resume, doubted = [], isShown = false } = options
    for (const token of doubted) shared.resumeDoubted(token, isShown)
    if (resume !== undefined) shared.resume(resume)
    let farewell: Promise<Farewell> | undefined
    const refuseReleased = (): void => {
      if (this.#closing.signal.aborted) throw stopping()
      if (farewell !== undefined) {
        throw new LatchkeyError('UnknownSession', 'the volume has let go of its session at Vault')
      }
    }
    return {
      offer(token) {
        refuseReleased()
        shared.tokens.offer(holder, token)
      },
      async use(signal, work) {
        refuseReleased()
        return shared.use(signal, work)
      },
      isOpen: () => farewell === undefined && shared.token !== undefined,
      bookmark: () =>
        farewell === undefined
          ? shared.token?.use((bytes) => SecretBytes.copyOf(bytes))
          : undefined,
      doubted: () =>
        farewell === undefined
          ? shared.doubted.map((token) => token.use((bytes) => SecretBytes.copyOf(bytes)))
          : [],
      doubt(isShown) {
        if (farewell === undefined) shared.doubt(isShown)
      },
      settle() {
        if (farewell === undefined) shared.endDoubted()
      },
      release: () => (farewell ??= this.#release(key, owner, shared, holder)),
      drop: () => {
        if (farewell !== undefined) return
        farewell = Promise.resolve('closed')
        shared.leave(holder)
        if (shared.holders > 0) return
        this.#shared.delete(key)
        shared.drop()
      },
    }
  }

  /** For a daemon that stops: everything is forgotten, and nothing ended at Vault's side. */
  close(): void {
    this.#closing.abort(stopping())
    for (const shared of this.#shared.values()) shared.drop()
    this.#shared.clear()
  }

  #begin(key: string, owner: SessionOwner): SharedSession {
    const { api, clock, random, onEvent } = this.#options
    const shared = new SharedSession({
      api: api.forTenant(owner.namespace),
      clock,
      random,
      role: owner.role,
      closing: this.#closing.signal,
      onEvent: (event) => {
        onEvent(event, owner)
      },
      end: (session) => this.#end(session, owner),
    })
    this.#shared.set(key, shared)
    return shared
  }

  async #release(
    key: string,
    owner: SessionOwner,
    shared: SharedSession,
    holder: object,
  ): Promise<Farewell> {
    shared.leave(holder)
    if (this.#closing.signal.aborted) return 'closed'
    if (shared.holders > 0) return 'shared'
    // Whoever comes now gets a session of its own: this one is as good as ended.
    this.#shared.delete(key)
    const sessions = await shared.retire()
    const ending = sessions.map((session) => this.#end(session, owner))
    const farewells = await Promise.all([...ending, ...shared.ending])
    return (['closed', 'given-up'] as const).find((word) => farewells.includes(word)) ?? 'ended'
  }

  async #end(session: Session, owner: SessionOwner): Promise<Farewell> {
    const { api, clock, random, onEvent } = this.#options
    const { signal } = this.#closing
    const backoff = new Backoff(RETRY_END, random)
    const giveUpAtMs = clock.now() + END_WITHIN_MS
    try {
      for (;;) {
        try {
          await api.forTenant(owner.namespace).revokeSelf(session, signal)
          onEvent({ what: 'ended' }, owner)
          return 'ended'
        } catch (thrown) {
          if (signal.aborted) return 'closed'
          const delayMs = backoff.nextMs()
          if (clock.now() + delayMs > giveUpAtMs) {
            onEvent({ what: 'not-ended', reason: LatchkeyError.from(thrown).reason }, owner)
            return 'given-up'
          }
          await sleep(clock, delayMs, signal)
        }
      }
    } catch {
      // Only the pause throws here, when the daemon stops.
      return 'closed'
    } finally {
      session.token.wipe()
    }
  }
}

function keyOf({
  namespace,
  serviceAccount,
  serviceAccountUid,
  role,
  holder,
}: SessionOwner): string {
  return JSON.stringify([namespace, serviceAccount, serviceAccountUid, role, holder])
}

function stopping(): LatchkeyError {
  return new LatchkeyError('ShuttingDown', 'the daemon is stopping')
}

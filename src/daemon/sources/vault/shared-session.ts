import { Backoff } from '../../../core/backoff.ts'
import { LatchkeyError } from '../../../core/errors.ts'
import type { SecretBytes } from '../../../core/secret-bytes.ts'
import { DoubtedSessions } from './doubted-sessions.ts'
import { isUntold } from './ended-session.ts'
import { LongTimer } from './long-timer.ts'
import { isFullRenewal, RENEWAL_RETRY, renewalDelayMs } from './renewal.ts'
import { SessionShelf, type LiveSession } from './session-shelf.ts'
import type { OnReplaced, SharedSessionOptions } from './session-options.ts'
import { OfferedTokens } from './session-tokens.ts'
import { waitFor } from '../../../core/deadline.ts'
import type { Farewell } from './sessions.ts'
import type { Session, TokenState } from './vault-api.ts'
import { isTrouble, type VaultError } from './vault-error.ts'

/**
 * One login that several volumes share: opened when first needed, renewed while anybody holds it, replaced
 * before it can be renewed no longer.
 */
export class SharedSession {
  readonly tokens: OfferedTokens
  readonly #options: SharedSessionOptions
  readonly #timer: LongTimer
  readonly #backoff: Backoff
  readonly #shelf: SessionShelf
  readonly #onReplaced = new Map<object, OnReplaced>()
  readonly #doubted: DoubtedSessions
  #opening: Promise<LiveSession> | undefined
  #generation = 0
  /** Who doubts a session knows what hangs on it, and is not to be told of the next one. */
  #followsDoubt = false
  #isOver = false
  #isDropped = false

  constructor(options: SharedSessionOptions) {
    this.#options = options
    this.tokens = new OfferedTokens(options.clock)
    this.#timer = new LongTimer(options.clock)
    this.#backoff = new Backoff(RENEWAL_RETRY, options.random)
    this.#shelf = new SessionShelf(options.role)
    this.#doubted = new DoubtedSessions(this.#shelf, options)
  }

  get holders(): number {
    return this.#onReplaced.size
  }

  join(holder: object, onReplaced: OnReplaced): void {
    this.#onReplaced.set(holder, onReplaced)
  }

  leave(holder: object): void {
    this.#onReplaced.delete(holder)
    this.tokens.withdraw(holder)
  }

  /** Takes over a token from before a restart. */
  resume(token: SecretBytes): void {
    this.#shelf.resume(token)
  }

  /** Takes over one that is not to be used any more; see `doubt`. */
  resumeDoubted(token: SecretBytes, isShown: boolean): void {
    this.#doubted.resume(token, isShown)
  }

  /**
   * Whoever calls next gets another session. This one ends at once, or where somebody may still see what is leased
   * under it, with `endDoubted`.
   */
  doubt(isShown: boolean): void {
    if (!this.#doubted.add(isShown)) return
    this.#timer.stop()
    this.#followsDoubt = true
  }

  endDoubted(): void {
    this.#doubted.endAll()
  }

  /** Tokens to write down, of what may have to be ended after a restart. */
  get doubted(): readonly SecretBytes[] {
    return this.#doubted.tokens
  }

  /** Ends that are under way. */
  get ending(): readonly Promise<Farewell>[] {
    return this.#doubted.ending
  }

  /** The token to write down for a restart. */
  get token(): SecretBytes | undefined {
    return (this.#shelf.current ?? this.#shelf.nextResumable)?.token
  }

  /**
   * Calls with the session, and once more with a new one where the other side has ended it.
   * Throws: what logging in throws · what `work` throws · the signal's reason.
   */
  async use<T>(signal: AbortSignal, work: (session: LiveSession) => Promise<T>): Promise<T> {
    const first = await this.#open(signal)
    try {
      return await work(first)
    } catch (thrown) {
      if (!isTrouble(thrown, 'dead-token')) throw thrown
      this.#bury(first, thrown)
    }
    const second = await this.#open(signal)
    try {
      return await work(second)
    } catch (thrown) {
      if (!isTrouble(thrown, 'dead-token')) throw thrown
      this.#bury(second, thrown)
      throw new LatchkeyError('AccessDenied', LatchkeyError.from(thrown).message)
    }
  }

  /** Stops the clockwork and hands over what has to be ended at the other side. */
  async retire(): Promise<readonly Session[]> {
    this.#isOver = true
    // A login that is given up on its way may have been heard.
    await this.#opening?.catch(() => undefined)
    this.#timer.stop()
    this.tokens.wipe()
    return this.#clear()
  }

  /** Forgets everything and ends nothing: after a restart, the same session goes on. */
  drop(): void {
    this.#isOver = true
    this.#isDropped = true
    this.#timer.stop()
    this.tokens.wipe()
    for (const { token } of this.#clear()) token.wipe()
  }

  /** What is being ended is no concern of the caller's. */
  #clear(): readonly Session[] {
    this.#doubted.leave()
    return this.#shelf.clear().filter((session) => !this.#doubted.isEnding(session))
  }

  async #open(signal: AbortSignal): Promise<LiveSession> {
    signal.throwIfAborted()
    const { current } = this.#shelf
    if (current !== undefined && current.expiresAtMs > this.#options.clock.now()) return current
    return waitFor(this.#renew(), signal)
  }

  /** A login for all who wait for one. */
  #renew(): Promise<LiveSession> {
    this.#opening ??= this.#begin().finally(() => {
      this.#opening = undefined
    })
    // Everybody may have left when it fails.
    this.#opening.catch(() => undefined)
    return this.#opening
  }

  async #begin(): Promise<LiveSession> {
    if (this.#isOver) throw letGo()
    return (await this.#takeUp()) ?? (await this.#logIn())
  }

  /** The first of the tokens from before a restart that still lives. */
  async #takeUp(): Promise<LiveSession | undefined> {
    const { api, closing, onEvent } = this.#options
    for (;;) {
      const session = this.#shelf.nextResumable
      if (session === undefined) return undefined
      let state = { remainingMs: 0, lifeMs: 0, renewable: false }
      try {
        state = await api.lookupSelf(session, closing)
      } catch (thrown) {
        // It may live and not be allowed to say so: it makes room, and is ended with the others.
        if (isUntold(thrown)) return undefined
        // While nobody can tell whether it lives, a new login would leave it and its leases behind.
        if (!isTrouble(thrown, 'dead-token')) throw thrown
      }
      if (this.#isDropped) throw letGo()
      this.#shelf.takeOff(session)
      if (state.remainingMs > 0) {
        onEvent({ what: 'resumed' })
        return this.#adopt(session, state)
      }
      session.token.wipe()
    }
  }

  async #logIn(): Promise<LiveSession> {
    const { api, role, closing, onEvent } = this.#options
    let refusal: unknown
    for (const jwt of this.tokens.best()) {
      try {
        const { token, durationMs, renewable } = await api.login(jwt.token, role, closing)
        if (this.#isDropped) {
          // No bookmark knows of it, so nobody else can end it.
          await api.revokeSelf({ token, role }, closing).catch(() => undefined)
          token.wipe()
          throw letGo()
        }
        const previous = this.#shelf.current
        const lifeMs = durationMs === 0 ? Infinity : durationMs
        const state = { remainingMs: lifeMs, lifeMs, renewable }
        const session = this.#adopt({ token, role }, state)
        if (session.generation === 1 || this.#followsDoubt) onEvent({ what: 'opened' })
        else this.#announce(previous)
        this.#followsDoubt = false
        return session
      } catch (thrown) {
        refusal ??= thrown
        if (!isRefusal(thrown)) throw thrown
      }
    }
    throw refusal
  }

  #adopt(session: Session, { remainingMs, lifeMs, renewable }: TokenState): LiveSession {
    this.#generation += 1
    const generation = this.#generation
    const expiresAtMs = this.#options.clock.now() + remainingMs
    const current = { ...session, generation, expiresAtMs, lifeMs, renewable }
    this.#shelf.put(current)
    this.#backoff.reset()
    this.#schedule()
    return current
  }

  #announce(previous: LiveSession | undefined): void {
    this.#options.onEvent({ what: 'replaced' })
    const previousEndsAtMs = previous?.expiresAtMs ?? this.#options.clock.now()
    for (const onReplaced of this.#onReplaced.values()) {
      onReplaced(previousEndsAtMs)
    }
  }

  /** What is only taken for dead is ended: where it lives after all, its leases would outlive every volume. */
  #bury(session: LiveSession, death: VaultError): void {
    if (this.#shelf.current?.generation !== session.generation) return
    this.#timer.stop()
    if (death.isInferred && this.#doubted.endCurrent()) return
    this.#shelf.current = undefined
    session.token.wipe()
  }

  #schedule(): void {
    const { current } = this.#shelf
    if (this.#isOver || current === undefined || current.expiresAtMs === Infinity) return
    const remainingMs = Math.max(0, current.expiresAtMs - this.#options.clock.now())
    this.#timer.start(renewalDelayMs(remainingMs, this.#options.random), () => void this.#tend())
  }

  /** Renews the session or puts a new one in its place; never throws. */
  async #tend(): Promise<void> {
    const { onEvent } = this.#options
    try {
      if (await this.#extend()) {
        this.#backoff.reset()
        onEvent({ what: 'renewed' })
        this.#schedule()
      } else {
        await this.#renew()
      }
    } catch (thrown) {
      if (this.#isOver) return
      onEvent({ what: 'not-renewed', reason: LatchkeyError.from(thrown).reason })
      this.#timer.start(this.#backoff.nextMs(), () => void this.#tend())
    }
  }

  /** Whether it lives on as long as it did at first; where not, a new one is needed. */
  async #extend(): Promise<boolean> {
    const { api, clock, closing } = this.#options
    const { current } = this.#shelf
    if (current?.renewable !== true || current.expiresAtMs <= clock.now()) return false
    try {
      const askedAtMs = clock.now()
      const { durationMs, renewable } = await api.renewSelf(current, current.lifeMs, closing)
      // Somebody else may have found it dead meanwhile, and have opened another.
      if (this.#shelf.current !== current) return this.#shelf.current !== undefined
      this.#shelf.current = { ...current, expiresAtMs: askedAtMs + durationMs, renewable }
      return renewable && isFullRenewal(durationMs, current.lifeMs)
    } catch (thrown) {
      if (isTrouble(thrown, 'dead-token')) this.#bury(current, thrown)
      // It may lack the right to renew itself; then it lives as long as it does.
      else if (!isRefusal(thrown)) throw thrown
      return false
    }
  }
}

function letGo(): LatchkeyError {
  return new LatchkeyError('UnknownSession', 'the session at Vault has been let go of')
}

/** Asking again in the same words would be in vain. */
function isRefusal(thrown: unknown): boolean {
  if (!(thrown instanceof LatchkeyError)) return false
  return ['AccessDenied', 'TokenRejected', 'InvalidRequest'].includes(thrown.reason)
}

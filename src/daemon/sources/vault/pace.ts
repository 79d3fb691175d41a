import { Backoff, jittered } from '../../../core/backoff.ts'
import { sleep, type Clock } from '../../../core/clock.ts'
import { LatchkeyError } from '../../../core/errors.ts'
import { Limiter } from '../../../core/limiter.ts'
import { waitFor } from '../../../core/deadline.ts'
import { TokenBucket } from './token-bucket.ts'
import { VaultError } from './vault-error.ts'

export interface PaceOptions {
  /** The source's name, for errors. */
  readonly name: string
  readonly concurrent: number
  readonly perSecond: number
  readonly clock: Clock
  readonly random: () => number
}

/** Calls in line; beyond, they are refused at once. */
const MAX_WAITING = 1_000
/** A closed gate that opens within this is waited for; behind another, callers hear at once. */
const PATIENCE_MS = 2_000
const CLOSED_FOR = { firstMs: 1_000, maxMs: 60_000 }
const MAX_RETRY_AFTER_MS = 5 * 60_000

interface Closed {
  readonly untilMs: number
  readonly why: VaultError
}

/**
 * When calls to one Vault may go out: few at once, not too many in a second, and none while it is known
 * to be sealed, overloaded or away. Then one call at a time tries whether it is back, and the others follow
 * at the usual pace, so that a Vault that comes back meets no herd.
 */
export class Pace {
  readonly #clock: Clock
  readonly #random: () => number
  readonly #limiter: Limiter
  readonly #bucket: TokenBucket
  readonly #backoff: Backoff
  #closed: Closed | undefined
  /** Settles when the call that tries has ended. */
  #trial: Promise<void> | undefined

  constructor({ name, concurrent, perSecond, clock, random }: PaceOptions) {
    this.#clock = clock
    this.#random = random
    this.#limiter = new Limiter(`calls to Vault "${name}"`, concurrent, MAX_WAITING)
    this.#bucket = new TokenBucket(perSecond, clock)
    this.#backoff = new Backoff(CLOSED_FOR, random)
  }

  /**
   * Tenants take turns in line.
   * Throws: SourceUnavailable while the gate is closed · Overloaded · the signal's reason · what `call` throws.
   */
  async run<T>(signal: AbortSignal, call: () => Promise<T>, tenant = ''): Promise<T> {
    // Whoever is refused here has no place in line.
    await this.#pass(signal)
    const inTurn = async (): Promise<T> => {
      await this.#bucket.take(signal)
      for (;;) {
        // The gate may have closed meanwhile, and another may try it already.
        await this.#pass(signal)
        if (this.#closed === undefined) return await this.#watched(call)
        if (this.#trial === undefined) return await this.#try(call)
      }
    }
    return this.#limiter.run(signal, inTurn, tenant)
  }

  get isClosed(): boolean {
    return this.#closed !== undefined
  }

  async #pass(signal: AbortSignal): Promise<void> {
    for (;;) {
      const closed = this.#closed
      if (closed === undefined) return
      const remainingMs = closed.untilMs - this.#clock.now()
      if (remainingMs > PATIENCE_MS) throw this.#again(closed.why, remainingMs)
      if (remainingMs > 0) await sleep(this.#clock, remainingMs, signal)
      else if (this.#trial === undefined) return
      else await waitFor(this.#trial, signal)
    }
  }

  async #try<T>(call: () => Promise<T>): Promise<T> {
    const ended = Promise.withResolvers<void>()
    this.#trial = ended.promise
    try {
      return await this.#watched(call)
    } catch (thrown) {
      if (thrown instanceof LatchkeyError && thrown.reason === 'Timeout') {
        this.#close(new VaultError('SourceUnavailable', thrown.message))
      }
      throw thrown
    } finally {
      this.#trial = undefined
      ended.resolve()
    }
  }

  async #watched<T>(call: () => Promise<T>): Promise<T> {
    try {
      const answer = await call()
      this.#open()
      return answer
    } catch (thrown) {
      if (thrown instanceof VaultError) {
        if (thrown.isSourceWide) this.#close(thrown)
        // It has answered, if only with a refusal.
        else if (thrown.status !== undefined) this.#open()
      }
      throw thrown
    }
  }

  #open(): void {
    this.#closed = undefined
    this.#backoff.reset()
  }

  #close(why: VaultError): void {
    // Several may fail on the same trouble; only the first of them moves the backoff on.
    const nowMs = this.#clock.now()
    if (this.#closed !== undefined && this.#closed.untilMs > nowMs) return
    const askedMs = Math.min(why.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS)
    const delayMs = Math.max(this.#backoff.nextMs(), jittered(askedMs * 1.1, 0.1, this.#random))
    this.#closed = { untilMs: nowMs + delayMs, why }
  }

  #again(why: VaultError, remainingMs: number): VaultError {
    return new VaultError(why.reason, why.message, {
      // Not all in the moment in which the gate opens.
      retryAfterMs: Math.ceil(remainingMs * (1 + 0.5 * this.#random())),
      isSourceWide: true,
      status: why.status,
    })
  }
}

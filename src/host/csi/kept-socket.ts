import { Backoff } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import { Pause } from '../../core/pause.ts'
import type { Logger } from '../../observability/log.ts'
import type { UnixServer } from '../../wire/unix-server.ts'

export interface KeptSocketOptions {
  readonly name: string
  readonly listen: () => Promise<UnixServer>
  readonly clock: Clock
  readonly log: Logger
}

const LOOK_EVERY_MS = 5_000
const DRAIN_MS = 5_000

/**
 * A socket that is bound anew whenever its file vanishes or is replaced, or on demand. Ending the process
 * instead would have kubelet restart the container with ever longer delays.
 */
export class KeptSocket {
  readonly #options: KeptSocketOptions
  readonly #stopped = new AbortController()
  #server: UnixServer
  #loop: Promise<void> = Promise.resolve()
  readonly #pause: Pause
  #isRenewalDue = false

  private constructor(options: KeptSocketOptions, server: UnixServer) {
    this.#options = options
    this.#pause = new Pause(options.clock)
    this.#server = server
  }

  /** Throws what the first `listen` throws: a socket that cannot be had at all is a wrong setting. */
  static async open(options: KeptSocketOptions): Promise<KeptSocket> {
    const socket = new KeptSocket(options, await options.listen())
    socket.#loop = socket.#watch()
    return socket
  }

  get isInPlace(): boolean {
    return this.#server.isInPlace()
  }

  /** Binds a new socket in place of this one after a pause that grows with each call in a row. */
  renew(): void {
    this.#isRenewalDue = true
    this.#pause.wake()
  }

  async close(): Promise<void> {
    this.#stopped.abort(new LatchkeyError('ShuttingDown', 'the host side is stopping'))
    await this.#loop
    await this.#server.close(DRAIN_MS)
  }

  async #watch(): Promise<void> {
    const { log, name } = this.#options
    const { signal } = this.#stopped
    const backoff = new Backoff({ firstMs: 1_000, maxMs: 60_000 })
    for (;;) {
      await this.#pause.wait(LOOK_EVERY_MS, signal)
      if (signal.aborted) return
      if (!this.#isRenewalDue && this.#server.isInPlace()) {
        backoff.reset()
        continue
      }
      log.warn({ path: name }, 'socket was lost or refused, bound anew')
      await this.#pause.wait(backoff.nextMs(), signal)
      await this.#rebind()
    }
  }

  async #rebind(): Promise<void> {
    if (this.#stopped.signal.aborted) return
    this.#isRenewalDue = false
    const former = this.#server
    try {
      this.#server = await this.#options.listen()
      // The new socket lies at the path by now, so the former one unlinks nothing.
      void former.close(DRAIN_MS)
    } catch (thrown) {
      this.#isRenewalDue = true
      this.#options.log.error({ err: LatchkeyError.from(thrown) }, 'socket could not be bound')
    }
  }
}

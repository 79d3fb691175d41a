import type { ClientDuplexStream, ServerDuplexStream, StatusObject } from '@grpc/grpc-js'
import { LatchkeyError } from '../core/errors.ts'
import { fromServiceError } from './status.ts'

type Call<In, Out> = ServerDuplexStream<In, Out> | ClientDuplexStream<Out, In>

/**
 * A gRPC call of two streams, seen from one of its ends: messages come one by one, at the reader's pace,
 * and the call is over exactly once.
 */
export class MessageStream<In, Out> {
  readonly #call: Call<In, Out>
  readonly #over = new AbortController()
  #failure: LatchkeyError | undefined

  constructor(call: Call<In, Out>) {
    this.#call = call
    call.once('error', (thrown) => {
      this.#failure = fromServiceError(thrown)
      this.#close(this.#failure.message, this.#failure)
    })
    call.once('cancelled', () => {
      this.#close('the other side hung up')
    })
    call.once('close', () => {
      this.#close('the stream is over')
    })
  }

  /** Aborts when the call is over, for whatever cause; its reason is a LatchkeyError. */
  get closed(): AbortSignal {
    return this.#over.signal
  }

  /**
   * The messages in order; ends where the other side ends the call without an error. To be called once.
   * Throws: the other side's reason.
   */
  async *receive(): AsyncGenerator<In, void> {
    try {
      // Readable's own iterator reads on demand: a slow reader slows the sender by HTTP/2's flow control.
      for await (const message of this.#call as AsyncIterable<In>) yield message
    } catch (thrown) {
      throw this.#reason(thrown)
    }
    // A call that failed before anybody read looks like one that ended well.
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Resolves when the transport has taken a copy of the message. Throws: why the call is over. */
  send(message: Out): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#over.signal.aborted) {
        reject(this.#reason(undefined))
        return
      }
      const onClose = (): void => {
        reject(this.#reason(undefined))
      }
      this.#over.signal.addEventListener('abort', onClose, { once: true })
      this.#call.write(message, () => {
        this.#over.signal.removeEventListener('abort', onClose)
        resolve()
      })
    })
  }

  /** Hangs up: a client cancels its call, a server has answered all it will. */
  end(): void {
    if ('cancel' in this.#call) this.#call.cancel()
    else this.#call.end()
  }

  /** Ends a call that this side serves with an error. */
  fail(error: Partial<StatusObject>): void {
    this.#call.emit('error', error)
  }

  #reason(thrown: unknown): LatchkeyError {
    const reason: unknown = this.#over.signal.reason
    return reason instanceof LatchkeyError ? reason : fromServiceError(thrown)
  }

  /** The first word counts: a call that has ended is closed, and sometimes cancelled, after that. */
  #close(why: string, reason?: LatchkeyError): void {
    if (this.#over.signal.aborted) return
    this.#over.abort(reason ?? new LatchkeyError('DaemonUnavailable', why))
  }
}

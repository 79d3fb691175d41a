import type { Clock } from '../../core/clock.ts'

/** Ends a long call from the caller's signal, from silence, or at its latest moment. */
export interface Watchdog {
  /** Aborts with the caller's reason, with that of the silence, or at the end of all. */
  readonly signal: AbortSignal
  /** Something has to happen within `withinMs`, else `signal` aborts with `reason`. */
  expect(withinMs: number, reason: Error): void
  /** Nothing is expected for now. */
  rest(): void
  /** Lets go of the clock and of the caller's signal, and aborts what still runs. */
  end(): void
}

/** `latestMs` is a moment of `clock`: no expectation reaches beyond it. */
export function createWatchdog(clock: Clock, latestMs: number, caller: AbortSignal): Watchdog {
  const own = new AbortController()
  let cancelTimer = (): void => undefined
  const onCallerAbort = (): void => {
    own.abort(caller.reason)
  }
  caller.addEventListener('abort', onCallerAbort, { once: true })
  if (caller.aborted) onCallerAbort()
  return {
    signal: own.signal,
    expect(withinMs, reason) {
      cancelTimer()
      const remainingMs = Math.max(0, latestMs - clock.now())
      cancelTimer = clock.after(Math.min(withinMs, remainingMs), () => {
        own.abort(reason)
      })
    },
    rest() {
      cancelTimer()
    },
    end() {
      cancelTimer()
      caller.removeEventListener('abort', onCallerAbort)
      own.abort(new Error('the call has ended'))
    },
  }
}

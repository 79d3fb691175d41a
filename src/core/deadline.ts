import type { Clock } from './clock.ts'
import { LatchkeyError } from './errors.ts'

/**
 * Runs `work` under a bound: its signal aborts after `timeoutMs` or with `parent`, and the answer then
 * rejects at once, whether or not `work` listens.
 *
 * Throws: Timeout, naming `what` · the parent's reason · whatever `work` throws.
 */
export async function withDeadline<T>(
  clock: Clock,
  timeoutMs: number,
  what: string,
  parent: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const own = new AbortController()
  const cancelTimer = clock.after(timeoutMs, () => {
    own.abort(new LatchkeyError('Timeout', `${what} took longer than ${timeoutMs / 1000} s`))
  })
  const onParentAbort = (): void => {
    own.abort(parent.reason)
  }
  parent.addEventListener('abort', onParentAbort, { once: true })
  if (parent.aborted) onParentAbort()
  try {
    return await Promise.race([rejectOnAbort(own.signal), work(own.signal)])
  } finally {
    cancelTimer()
    parent.removeEventListener('abort', onParentAbort)
    // Whoever still listens (the loser of the race) is let go of as well.
    own.abort(new LatchkeyError('Timeout', `${what} has ended`))
  }
}

/** Never resolves; rejects with the signal's reason. One side of a race. */
export function rejectOnAbort(signal: AbortSignal): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>()
  if (signal.aborted) reject(signal.reason as Error)
  signal.addEventListener(
    'abort',
    () => {
      reject(signal.reason as Error)
    },
    { once: true },
  )
  // The race may be over when this rejects; that is not an unhandled rejection.
  promise.catch(() => undefined)
  return promise
}

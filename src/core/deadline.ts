import type { Clock } from './clock.ts'
import { LatchkeyError } from './errors.ts'

/**
 * For signals that are aborted only to let go of who may still listen. One for all: each error of its own would
 * have its stack recorded, and there are a dozen of these in a publish.
 */
export const ENDED = new LatchkeyError('Timeout', 'the wait has ended')

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
  const cut = Promise.withResolvers<never>()
  // `work` may throw before the race begins; that is not an unhandled rejection.
  cut.promise.catch(() => undefined)
  const end = (why: unknown): void => {
    cut.reject(why)
    own.abort(why)
  }
  const cancelTimer = clock.after(timeoutMs, () => {
    end(new LatchkeyError('Timeout', `${what} took longer than ${timeoutMs / 1000} s`))
  })
  const onParentAbort = (): void => {
    end(parent.reason)
  }
  parent.addEventListener('abort', onParentAbort, { once: true })
  if (parent.aborted) onParentAbort()
  try {
    return await Promise.race([cut.promise, work(own.signal)])
  } finally {
    cancelTimer()
    parent.removeEventListener('abort', onParentAbort)
    // Whoever still listens (the loser of the race) is let go of as well.
    own.abort(ENDED)
  }
}

/**
 * Waits for something that others wait for too, and leaves it to them when the own signal aborts. Nothing of
 * it stays on a signal that lives on. Throws: the signal's reason · what it was waited for throws.
 */
export async function waitFor<T>(shared: Promise<T>, signal: AbortSignal): Promise<T> {
  const left = Promise.withResolvers<never>()
  const leave = (): void => {
    left.reject(signal.reason)
  }
  if (signal.aborted) leave()
  signal.addEventListener('abort', leave, { once: true })
  try {
    return await Promise.race([left.promise, shared])
  } finally {
    signal.removeEventListener('abort', leave)
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

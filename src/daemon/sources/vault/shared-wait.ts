import { rejectOnAbort } from '../../../core/deadline.ts'

/**
 * Waits for something that others wait for too, and leaves it to them when the own signal aborts.
 * Nothing of it stays on a signal that lives on. Throws: the signal's reason · what it was waited for throws.
 */
export async function waitFor<T>(shared: Promise<T>, signal: AbortSignal): Promise<T> {
  const left = new AbortController()
  try {
    return await Promise.race([rejectOnAbort(AbortSignal.any([signal, left.signal])), shared])
  } finally {
    left.abort()
  }
}

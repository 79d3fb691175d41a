import { setTimeout as sleep } from 'node:timers/promises'

export interface UntilOptions {
  /** What is being waited for, as it reads after "waited 5000 ms for ". */
  readonly what: string
  readonly withinMs: number
  readonly everyMs?: number
  readonly signal?: AbortSignal | undefined
  /** Told when time is up; its text goes into the error. */
  readonly explain?: () => Promise<string>
}

/**
 * Asks again until the answer is not undefined, and gives that answer. A try that throws counts as
 * "not yet"; the last error's text is in the error at the end.
 */
export async function until<T>(
  attempt: () => Promise<T | undefined> | T | undefined,
  options: UntilOptions,
): Promise<T> {
  const deadline = performance.now() + options.withinMs
  let lastError = ''
  for (;;) {
    options.signal?.throwIfAborted()
    try {
      const answer = await attempt()
      if (answer !== undefined) return answer
      lastError = ''
    } catch (error) {
      options.signal?.throwIfAborted()
      lastError = error instanceof Error ? error.message : String(error)
    }
    if (performance.now() >= deadline) break
    await sleep(options.everyMs ?? 100, undefined, { signal: options.signal })
  }
  const details = [lastError, await options.explain?.()].filter((text) => text !== '' && text)
  throw new Error([`waited ${options.withinMs} ms for ${options.what}`, ...details].join('\n'))
}

import { setTimeout as delay } from 'node:timers/promises'

/** Waits for a condition to become true, looking every few milliseconds. Throws after `timeoutMs`, naming `what`. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  { timeoutMs = 10_000, what }: { readonly timeoutMs?: number; readonly what: string },
): Promise<void> {
  const giveUpAt = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error(`waited ${timeoutMs} ms in vain for ${what}`)
    await delay(2)
  }
}

import { inspect } from 'node:util'
import type { ExecutionContext } from 'ava'
import { LatchkeyError } from '../../../src/core/errors.ts'
import type { Reason } from '../../../src/core/errors.ts'
import { apiToken, ourToken, textOf, vaultToken } from './pod-world.ts'

export interface Refusal {
  readonly what: string
  readonly reason: Reason
  readonly message: RegExp
}

/** Stands in for a token; must never be seen. */
export const CANARY = 'canary-7f3a-not-a-jwt'

const SECRETS = [
  CANARY,
  ...[ourToken(), apiToken(), vaultToken()].map(({ token }) => textOf(token)),
]

/** Asserts that work fails for the stated reason, and that nothing in the error holds a token. */
export async function assertRefused(
  t: ExecutionContext,
  work: Promise<unknown>,
  { reason, message }: Refusal,
): Promise<void> {
  const error = await t.throwsAsync(work, { instanceOf: LatchkeyError, message })
  t.is(error.reason, reason)
  const everything = inspect(error, { depth: 20, showHidden: true })
  t.false(SECRETS.some((secret) => everything.includes(secret)))
}

import { LatchkeyError } from '../../core/errors.ts'
import { quoted } from '../../core/foreign-text.ts'
import { MAX_TOKENS } from '../../core/limits.ts'
import type { Pod, ServiceToken } from '../../core/types.ts'
import { decodeTokenClaims, nameToken } from './token-claims.ts'
import type { TokenClaims } from './token-claims.ts'

export interface ClaimedToken {
  readonly token: ServiceToken
  readonly claims: TokenClaims
}

/** The tokens of one request: the one to be reviewed, and those that came along. */
export interface TokenSet {
  readonly reviewed: ClaimedToken
  readonly others: readonly ClaimedToken[]
}

/**
 * Sorts a request's tokens and refuses, before anybody is asked, a set that contradicts itself or the
 * pod it claims to be of. What passes is still only a claim.
 *
 * Throws: InvalidRequest · TokenMissing · TokenRejected · PodMismatch.
 */
export function readTokenSet(
  tokens: readonly ServiceToken[],
  pod: Pod,
  ourAudience: string,
  nowMs: number,
): TokenSet {
  if (tokens.length > MAX_TOKENS) {
    throw new LatchkeyError('InvalidRequest', `tokens: more than ${MAX_TOKENS}`)
  }
  if (new Set(tokens.map(({ audience }) => audience)).size !== tokens.length) {
    throw new LatchkeyError('InvalidRequest', 'tokens: two for the same audience')
  }
  const ours = tokens.find(({ audience }) => audience === ourAudience)
  if (ours === undefined) {
    throw new LatchkeyError(
      'TokenMissing',
      `no token for audience ${quoted(ourAudience)}: the CSIDriver object needs ` +
        `\`tokenRequests: [{audience: ${ourAudience}}]\``,
    )
  }
  const reviewed = readClaims(ours, pod)
  const others = tokens.filter((token) => token !== ours).map((token) => readClaims(token, pod))
  for (const other of others) checkOther(other, reviewed.claims, nowMs)
  return { reviewed, others }
}

function readClaims(token: ServiceToken, pod: Pod): ClaimedToken {
  const claims = decodeTokenClaims(token.token, token.audience)
  const what = nameToken(token.audience)
  checkEqual(what, 'namespace', claims.namespace, pod.namespace)
  checkEqual(what, 'pod uid', claims.pod.uid, pod.uid)
  return { token, claims }
}

// Nobody reviews these for us: their recipients verify them. The check keeps one pod's token out of
// another pod's volume, and a token for one recipient away from the next.
function checkOther({ token, claims }: ClaimedToken, reviewed: TokenClaims, nowMs: number): void {
  const what = nameToken(token.audience)
  checkEqual(what, 'service account uid', claims.serviceAccount.uid, reviewed.serviceAccount.uid)
  if (token.audience !== '' && !claims.audiences.includes(token.audience)) {
    throw new LatchkeyError('TokenRejected', `${what} is for another audience`)
  }
  if (claims.expiresAtMs <= nowMs) throw new LatchkeyError('TokenRejected', `${what} has expired`)
}

/** Throws: PodMismatch, naming what disagrees. */
export function checkEqual(what: string, field: string, found: string, expected: string): void {
  if (found === expected) return
  throw new LatchkeyError(
    'PodMismatch',
    `${what} names ${field} ${quoted(found)}, not ${quoted(expected)}`,
  )
}

import { parseClaims } from '../../src/minicluster/token-claims.ts'
import type { TokenIssuer } from '../../src/minicluster/tokens.ts'
import type { JwtClaims } from '../daemon/sources/vault/pod-jwt.ts'

/** As Vault's jwt method does with the cluster's public key. Undefined for a token that the cluster did not sign. */
export function checkClusterJwt(jwt: string, tokens: TokenIssuer): JwtClaims | undefined {
  const claims = parseClaims(jwt.split('.')[1] ?? '')
  if (claims === undefined) return undefined
  // Whose audience it is, the double judges by the role.
  if (tokens.judge(Buffer.from(jwt), claims.aud).user === undefined) return undefined
  const { namespace, pod, serviceaccount } = claims['kubernetes.io']
  return {
    issuer: claims.iss,
    audiences: claims.aud,
    namespace,
    serviceAccount: serviceaccount.name,
    pod: pod?.name ?? '',
    expiresAtMs: claims.exp * 1000,
  }
}

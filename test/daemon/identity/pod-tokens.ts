import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { ServiceToken } from '../../../src/core/types.ts'

export const SERVICE_ACCOUNT_UID = 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee'

export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [name: string]: Json | undefined
}

/** A compact JWS around `payload`; nobody in these tests looks at the signature. */
export function jwsOf(payload: Json): SecretBytes {
  return jwsOfText(JSON.stringify(payload))
}

export function jwsOfText(payload: string | Buffer): SecretBytes {
  const header = Buffer.from('{"alg":"RS256","kid":"k"}').toString('base64url')
  const text = `${header}.${Buffer.from(payload).toString('base64url')}.c2lnbmF0dXJl`
  return new SecretBytes(Buffer.from(text))
}

/** The claims that the API server of Kubernetes 1.37 put into a pod's token. */
export interface PodClaims {
  readonly namespace: string
  readonly podName: string
  readonly podUid: string
  readonly serviceAccount: string
  readonly serviceAccountUid: string
  readonly nodeName: string
  readonly audiences: readonly string[]
  readonly expiresAtSeconds: number
}

export function payloadOf(claims: PodClaims): JsonObject {
  return {
    aud: claims.audiences,
    exp: claims.expiresAtSeconds,
    iat: claims.expiresAtSeconds - 600,
    iss: 'https://kubernetes.default.svc.cluster.local',
    jti: 'bf0ad224-e1a3-4c04-b281-fe272685be7f',
    'kubernetes.io': {
      namespace: claims.namespace,
      node: { name: claims.nodeName, uid: '734c5485-2f7b-4fc0-8d1f-7236df9472b1' },
      pod: { name: claims.podName, uid: claims.podUid },
      serviceaccount: { name: claims.serviceAccount, uid: claims.serviceAccountUid },
    },
    sub: `system:serviceaccount:${claims.namespace}:${claims.serviceAccount}`,
  }
}

export function serviceTokenOf(audience: string, claims: PodClaims): ServiceToken {
  return {
    audience,
    token: jwsOf(payloadOf(claims)),
    expiresAtMs: claims.expiresAtSeconds * 1000,
  }
}

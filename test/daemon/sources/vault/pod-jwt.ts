import { generateKeyPairSync, sign, verify, type KeyObject } from 'node:crypto'
import { SecretBytes } from '../../../../src/core/secret-bytes.ts'

export interface JwtWishes {
  readonly namespace?: string
  readonly serviceAccount?: string
  readonly pod?: string
  readonly audience?: string
  readonly expiresAtMs?: number
}

/** What a checked token says. */
export interface JwtClaims {
  readonly issuer: string
  readonly audiences: readonly string[]
  readonly namespace: string
  readonly serviceAccount: string
  readonly pod: string
  readonly expiresAtMs: number
}

export const ISSUER = 'https://kubernetes.default.svc.cluster.local'

/** Plays the API server's part: signs service account tokens as it does. */
export class JwtIssuer {
  readonly publicKeyPem: string
  readonly #privateKey: KeyObject
  readonly #publicKey: KeyObject

  constructor() {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.#privateKey = privateKey
    this.#publicKey = publicKey
    this.publicKeyPem = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  }

  /** By default pod `api-0` of service account `api` in namespace `shop`, for audience `vault`. */
  issue(wishes: JwtWishes = {}): SecretBytes {
    const { namespace = 'shop', serviceAccount = 'api', pod = 'api-0', audience = 'vault' } = wishes
    const nowS = Math.floor(Date.now() / 1000)
    const expiresAtS = Math.floor((wishes.expiresAtMs ?? Date.now() + 600_000) / 1000)
    const claims = {
      iss: ISSUER,
      sub: `system:serviceaccount:${namespace}:${serviceAccount}`,
      aud: [audience],
      iat: nowS - 5,
      nbf: nowS - 5,
      exp: expiresAtS,
      'kubernetes.io': {
        namespace,
        serviceaccount: { name: serviceAccount, uid: `uid-of-${serviceAccount}` },
        pod: { name: pod, uid: `uid-of-${pod}` },
      },
    }
    const text = `${base64url({ alg: 'ES256', typ: 'JWT' })}.${base64url(claims)}`
    const signature = sign('sha256', Buffer.from(text), {
      key: this.#privateKey,
      dsaEncoding: 'ieee-p1363',
    })
    return new SecretBytes(Buffer.from(`${text}.${signature.toString('base64url')}`))
  }

  /** Undefined where the token is none of this issuer's. */
  check(jwt: string): JwtClaims | undefined {
    const [header = '', payload = '', signature = ''] = jwt.split('.')
    const isSigned = verify(
      'sha256',
      Buffer.from(`${header}.${payload}`),
      { key: this.#publicKey, dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    )
    if (!isSigned) return undefined
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as {
      readonly iss: string
      readonly aud: readonly string[]
      readonly exp: number
      readonly 'kubernetes.io': {
        readonly namespace: string
        readonly serviceaccount: { readonly name: string }
        readonly pod: { readonly name: string }
      }
    }
    const bound = claims['kubernetes.io']
    return {
      issuer: claims.iss,
      audiences: claims.aud,
      namespace: bound.namespace,
      serviceAccount: bound.serviceaccount.name,
      pod: bound.pod.name,
      expiresAtMs: claims.exp * 1000,
    }
  }
}

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

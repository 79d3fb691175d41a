import { createHash, generateKeyPairSync, randomUUID, sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { Clock } from '../core/clock.ts'
import { LatchkeyError } from '../core/errors.ts'
import { SecretBytes } from '../core/secret-bytes.ts'
import type { ObjectRef } from './object-meta.ts'
import type { PodStore, StoredPod } from './pod-store.ts'
import { judgeClaims, parseClaims, userOfClaims } from './token-claims.ts'
import type { Claims, NamedObject } from './token-claims.ts'
import type { User } from './user.ts'
import { usernameOf } from './user.ts'

/** Who signs, and the audience of a token that was asked for without one. */
export const ISSUER = 'https://kubernetes.default.svc.cluster.local'

/** What TokenRequest answers with. */
export interface IssuedToken {
  readonly token: SecretBytes
  readonly expiresAtMs: number
}

export type TokenVerdict =
  | { readonly user: User; readonly audiences: readonly string[] }
  | { readonly user: undefined; readonly error: string }

const MIN_LIFE_SECONDS = 600
// R and S side by side instead of ASN.1, RFC 7518 section 3.4.
const ENCODING = 'ieee-p1363'

/** Mints service account tokens (compact JWS, ES256) as an API server does, and judges them. */
export class TokenIssuer {
  readonly #clock: Clock
  readonly #pods: PodStore
  readonly #privateKey: KeyObject
  readonly #publicKey: KeyObject
  readonly #keyId: string

  constructor(clock: Clock, pods: PodStore) {
    this.#clock = clock
    this.#pods = pods
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    this.#privateKey = privateKey
    this.#publicKey = publicKey
    // As Kubernetes derives it, so that API servers of one key name it alike.
    this.#keyId = createHash('sha256')
      .update(publicKey.export({ type: 'spki', format: 'der' }))
      .digest('base64url')
  }

  /**
   * A token bound to a pod; audience '' is the API server's own.
   * Throws: InvalidRequest (no such pod or service account, a life under 10 minutes).
   */
  mintForPod(pod: StoredPod, audience: string, lifeSeconds: number): IssuedToken {
    if (this.#pods.get(pod.uid) === undefined) throw invalid(`pods "${pod.name}" not found`)
    const account = { namespace: pod.namespace, name: pod.serviceAccount }
    const bound = { node: pod.node, pod: { name: pod.name, uid: pod.uid } }
    return this.#mint(account, audience, lifeSeconds, bound)
  }

  /** A token for the API server that hangs on no pod. Throws: InvalidRequest. */
  mintForServiceAccount(account: ObjectRef, lifeSeconds: number): IssuedToken {
    return this.#mint(account, '', lifeSeconds, {})
  }

  /**
   * Whose token it is, for one of these audiences (none: the API server's own). Refusals are in the
   * words of a real TokenReview.
   */
  judge(token: Buffer, audiences: readonly string[]): TokenVerdict {
    const wanted = audiences.length === 0 ? [ISSUER] : audiences
    const [head = '', payload = '', signature = '', ...rest] = token.toString('latin1').split('.')
    const claims = rest.length === 0 ? parseClaims(payload) : undefined
    if (claims?.iss !== ISSUER) return refuse('invalid bearer token')
    // Nothing else of the claims is looked at before this.
    if (!this.#isSigned(`${head}.${payload}`, signature)) {
      return refuse('[invalid bearer token, go-jose/go-jose: error in cryptographic primitive]')
    }
    const error = judgeClaims(claims, wanted, this.#clock.now(), this.#pods)
    if (error !== undefined) return refuse(`[invalid bearer token, ${error}]`)
    const confirmed = wanted.filter((audience) => claims.aud.includes(audience))
    return { user: userOfClaims(claims), audiences: confirmed }
  }

  #mint(
    account: ObjectRef,
    audience: string,
    lifeSeconds: number,
    bound: { readonly node?: NamedObject; readonly pod?: NamedObject },
  ): IssuedToken {
    const known = this.#pods.serviceAccount(account)
    if (known === undefined) throw invalid(`serviceaccounts "${account.name}" not found`)
    if (lifeSeconds < MIN_LIFE_SECONDS) {
      throw invalid('expirationSeconds: may not specify a duration less than 10 minutes')
    }
    const issuedAt = Math.floor(this.#clock.now() / 1000)
    const claims: Claims = {
      aud: [audience === '' ? ISSUER : audience],
      exp: issuedAt + lifeSeconds,
      iat: issuedAt,
      iss: ISSUER,
      jti: randomUUID(),
      'kubernetes.io': {
        namespace: account.namespace,
        ...bound,
        serviceaccount: { name: account.name, uid: known.uid },
      },
      nbf: issuedAt,
      sub: usernameOf(account),
    }
    return { token: this.#sign(claims), expiresAtMs: claims.exp * 1000 }
  }

  #sign(claims: Claims): SecretBytes {
    const signed = `${encode({ alg: 'ES256', kid: this.#keyId })}.${encode(claims)}`
    const key = { key: this.#privateKey, dsaEncoding: ENCODING } as const
    const signature = sign('sha256', Buffer.from(signed), key).toString('base64url')
    return SecretBytes.copyOf(Buffer.from(`${signed}.${signature}`))
  }

  #isSigned(signed: string, signature: string): boolean {
    const key = { key: this.#publicKey, dsaEncoding: ENCODING } as const
    return verify('sha256', Buffer.from(signed), key, Buffer.from(signature, 'base64url'))
  }
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function refuse(error: string): TokenVerdict {
  return { user: undefined, error }
}

function invalid(message: string): LatchkeyError {
  return new LatchkeyError('InvalidRequest', message)
}

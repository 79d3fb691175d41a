import type { PodStore } from './pod-store.ts'
import type { User } from './user.ts'

export interface NamedObject {
  readonly name: string
  readonly uid: string
}

/** The claims that Kubernetes puts into a service account's token. Times in seconds. */
export interface Claims {
  readonly aud: readonly string[]
  readonly exp: number
  readonly iat: number
  readonly iss: string
  readonly jti: string
  readonly 'kubernetes.io': {
    readonly namespace: string
    readonly node?: NamedObject
    readonly pod?: NamedObject
    readonly serviceaccount: NamedObject
  }
  readonly nbf: number
  readonly sub: string
}

// go-jose's default, which the API server leaves as it is, for times and for a pod's deletion alike.
const LEEWAY_MS = 60_000
const INVALIDATED = 'service account token has been invalidated'

/** Reads a JWS payload; what it says is worth nothing before the signature was checked. */
export function parseClaims(payload: string): Claims | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(payload, 'base64url').toString())
    return typeof claims === 'object' && claims !== null ? (claims as Claims) : undefined
  } catch {
    return undefined
  }
}

/** Why an API server would not accept these (signed) claims now; undefined where it does. */
export function judgeClaims(
  claims: Claims,
  audiences: readonly string[],
  nowMs: number,
  pods: PodStore,
): string | undefined {
  if (!claims.aud.some((audience) => audiences.includes(audience))) {
    return `token audiences ${quoted(claims.aud)} is invalid for the target audiences ${quoted(audiences)}`
  }
  if (nowMs + LEEWAY_MS < claims.nbf * 1000) return 'service account token is not valid yet'
  if (nowMs - LEEWAY_MS > claims.exp * 1000) return 'service account token has expired'
  const { namespace, serviceaccount, pod } = claims['kubernetes.io']
  const account = pods.serviceAccount({ namespace, name: serviceaccount.name })
  if (account?.uid !== serviceaccount.uid) return INVALIDATED
  if (pod === undefined) return undefined
  const stored = pods.get(pod.uid)
  if (stored === undefined) return INVALIDATED
  const endedAtMs = stored.deletionAtMs ?? Number.POSITIVE_INFINITY
  return endedAtMs < nowMs - LEEWAY_MS ? INVALIDATED : undefined
}

/** The user that a token stands for, with the extras that TokenReview adds. */
export function userOfClaims({ sub, jti, 'kubernetes.io': bound }: Claims): User {
  const { namespace, node, pod, serviceaccount } = bound
  return {
    isAuthenticated: true,
    name: sub,
    uid: serviceaccount.uid,
    groups: [
      'system:serviceaccounts',
      `system:serviceaccounts:${namespace}`,
      'system:authenticated',
    ],
    extra: {
      'authentication.kubernetes.io/credential-id': [`JTI=${jti}`],
      ...namedExtra('node', node),
      ...namedExtra('pod', pod),
    },
  }
}

function namedExtra(kind: string, object: NamedObject | undefined): User['extra'] {
  if (object === undefined) return {}
  return {
    [`authentication.kubernetes.io/${kind}-name`]: [object.name],
    [`authentication.kubernetes.io/${kind}-uid`]: [object.uid],
  }
}

/** Go's %q of a list of strings. */
function quoted(texts: readonly string[]): string {
  return `[${texts.map((text) => JSON.stringify(text)).join(' ')}]`
}

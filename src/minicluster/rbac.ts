import type { ObjectRef } from './object-meta.ts'
import type { RequestInfo } from './request-info.ts'
import type { User } from './user.ts'
import { usernameOf } from './user.ts'

export type SecretVerb = 'get' | 'watch'

/** A Role and its binding in one. */
export interface Grant {
  readonly namespace: string
  /** Of the same namespace as the Secrets. */
  readonly serviceAccount: string
  readonly verbs: readonly SecretVerb[]
  /** The role's resourceNames; without them every Secret of the namespace. */
  readonly secrets?: readonly string[]
}

export interface Revocation {
  readonly namespace: string
  readonly serviceAccount: string
  /** Default: all. */
  readonly verbs?: readonly SecretVerb[]
}

// ClusterRole system:public-info-viewer, bound to everybody, and system:discovery, to the authenticated.
const PUBLIC_PATH = /^\/(version\/?|(healthz|livez|readyz)(\/.*)?)$/
const DISCOVERY_PATH = /^\/(api|apis|openapi)(\/.*)?$/

/** Who may do what. Nobody may anything that was not granted. */
export class Grants {
  #grants: Grant[] = []
  readonly #reviewers = new Set<string>()
  readonly #eventWriters = new Set<string>()

  grant(grant: Grant): void {
    this.#grants.push(grant)
  }

  /** Takes verbs away from a service account, whichever grants they came from. */
  revoke({ namespace, serviceAccount, verbs }: Revocation): void {
    this.#grants = this.#grants.map((grant) => {
      if (grant.namespace !== namespace || grant.serviceAccount !== serviceAccount) return grant
      return { ...grant, verbs: grant.verbs.filter((verb) => !(verbs?.includes(verb) ?? true)) }
    })
  }

  /** ClusterRole with `tokenreviews: create`. */
  grantTokenReviews(account: ObjectRef): void {
    this.#reviewers.add(usernameOf(account))
  }

  /** ClusterRole with `events: create`. */
  grantEvents(account: ObjectRef): void {
    this.#eventWriters.add(usernameOf(account))
  }

  allows(user: User, info: RequestInfo): boolean {
    if (info.kind === 'path') return allowsPath(user, info.verb, info.path)
    if (info.subresource !== '') return false
    if (info.apiGroup === 'authentication.k8s.io') {
      const isReview = info.resource === 'tokenreviews' && info.verb === 'create'
      return isReview && this.#reviewers.has(user.name)
    }
    if (info.apiGroup === '' && info.resource === 'events') {
      return info.verb === 'create' && this.#eventWriters.has(user.name)
    }
    if (info.apiGroup !== '' || info.resource !== 'secrets' || info.namespace === '') return false
    return this.#grants.some(
      ({ namespace, serviceAccount, verbs, secrets }) =>
        usernameOf({ namespace, name: serviceAccount }) === user.name &&
        namespace === info.namespace &&
        (verbs as readonly string[]).includes(info.verb) &&
        (secrets?.includes(info.name) ?? true),
    )
  }
}

function allowsPath(user: User, verb: string, path: string): boolean {
  if (verb !== 'get') return false
  return PUBLIC_PATH.test(path) || (user.isAuthenticated && DISCOVERY_PATH.test(path))
}

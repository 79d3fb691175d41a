import type { ObjectRef } from './object-meta.ts'

/** Whom a request comes from, as TokenReview words it. */
export interface User {
  readonly isAuthenticated: boolean
  readonly name: string
  readonly uid: string
  readonly groups: readonly string[]
  readonly extra: Readonly<Record<string, readonly string[]>>
}

/** A request without a bearer token is not refused but nobody's. */
export const ANONYMOUS: User = {
  isAuthenticated: false,
  name: 'system:anonymous',
  uid: '',
  groups: ['system:unauthenticated'],
  extra: {},
}

export function usernameOf({ namespace, name }: ObjectRef): string {
  return `system:serviceaccount:${namespace}:${name}`
}

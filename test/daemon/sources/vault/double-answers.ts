import type { EngineAnswer } from './double-engines.ts'

export type Reply = EngineAnswer & {
  readonly auth?: unknown
  readonly headers?: Record<string, string>
}

/** What a right that is missing is refused with; by OpenBao, what a dead token is, too. */
export const DENIED: Reply = {
  status: 403,
  errors: ['1 error occurred:\n\t* permission denied\n\n'],
}
/** What whoever has not logged in is refused with. */
export const UNNAMED: Reply = { status: 403, errors: ['permission denied'] }
export const DEAD: Reply = {
  status: 403,
  errors: ['2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n'],
}
export const NO_NAMESPACE: Reply = { status: 404, errors: ['namespace not found'] }
/** A token ends in the id of its namespace: here, of one that is no more. */
export const LOST_NAMESPACE: Reply = {
  status: 500,
  errors: [
    'error performing token check: failed to look up namespace from the token: no namespace',
  ],
}
export const NO_CONTENT: Reply = { status: 204 }

export function refused(words: string): Reply {
  return { status: 400, errors: [words] }
}

/** As Vault writes it. */
export function dress(reply: Reply, requestId: string): string {
  const { data, errors, auth, leaseId, leaseSeconds, renewable } = reply
  if (errors !== undefined) return goJson({ errors })
  return goJson({
    request_id: requestId,
    lease_id: leaseId ?? '',
    renewable: renewable ?? false,
    lease_duration: leaseSeconds ?? 0,
    data: data ?? null,
    wrap_info: null,
    warnings: null,
    auth: auth ?? null,
  })
}

/** As Go's encoder writes it, which Vault uses: three characters escaped, a line end behind. */
function goJson(value: unknown): string {
  const escaped = JSON.stringify(value).replaceAll(
    /[<>&]/g,
    (unit) => `\\u00${unit.charCodeAt(0).toString(16)}`,
  )
  return `${escaped}\n`
}

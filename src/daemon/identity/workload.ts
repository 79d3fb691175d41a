import type { Pod, ServiceToken } from '../../core/types.ts'

/** A pod whose identity the API server has confirmed; the only thing that fetches are made for. */
export interface Workload {
  readonly pod: Pod
  readonly serviceAccountUid: string
  /** When the reviewed token expires: no session outlives it without newer tokens. */
  readonly expiresAtMs: number
  /** Every token that came along, by audience; each names the same pod and service account. */
  readonly tokens: ReadonlyMap<string, ServiceToken>
  /** The volume that asks, by a name of its own: what is leased to it hangs on a session of its own. */
  readonly holder?: string | undefined
}

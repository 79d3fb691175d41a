import type { Workload } from '../identity/workload.ts'

/** Within one of these, watches, fetches and values are shared; never across two. */
export type SharingKey = string

/** The namespace whose pods a key of `sharingKeyOf` is for. */
export function namespaceOf(key: SharingKey): string {
  return key.split('\n', 2)[1] ?? ''
}

/** Names a secret as one service account of one namespace sees it; an account made anew is another. */
export function sharingKeyOf(workload: Workload, from: string, secret: string): SharingKey {
  const { namespace, serviceAccount } = workload.pod
  return [from, namespace, serviceAccount, workload.serviceAccountUid, secret].join('\n')
}

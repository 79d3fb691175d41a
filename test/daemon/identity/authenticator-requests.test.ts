import test from 'ava'
import { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { Pod, ServiceToken, VolumeRequest } from '../../../src/core/types.ts'
import { volumeIdOf } from '../../../src/core/volume-id.ts'
import {
  AUDIENCE,
  EXPIRES_AT_SECONDS,
  KUBELET_ROOT,
  NOW_MS,
  OTHER_UID,
  POD_UID,
  apiToken,
  attempt,
  ourToken,
  requestOf,
  targetPathOf,
  vaultToken,
} from './pod-world.ts'
import { CANARY, assertRefused } from './refusal.ts'
import type { Refusal } from './refusal.ts'

const pod = (changes: Partial<Pod>): Partial<VolumeRequest> => ({
  pod: { ...requestOf().pod, ...changes },
})
const tokens = (...list: ServiceToken[]): Partial<VolumeRequest> => ({ tokens: list })
const unreadable = (audience: string): ServiceToken => ({
  audience,
  token: new SecretBytes(Buffer.from(CANARY)),
  expiresAtMs: EXPIRES_AT_SECONDS * 1000,
})

interface Row extends Refusal {
  readonly request: Partial<VolumeRequest>
}

// Each row changes one thing in the request that authenticator.test.ts shows to be accepted.
const BAD_REQUESTS: readonly Row[] = [
  {
    what: 'no target path',
    request: { targetPath: '' },
    reason: 'InvalidRequest',
    message: /target_path: is missing/,
  },
  {
    what: "a target path outside of kubelet's folder",
    request: { targetPath: `/tmp/pods/${POD_UID}/volumes/kubernetes.io~csi/db/mount` },
    reason: 'InvalidRequest',
    message: /target_path: must be a plain path below/,
  },
  {
    what: 'a target path with ..',
    request: {
      targetPath: `${KUBELET_ROOT}/pods/../pods/${POD_UID}/volumes/kubernetes.io~csi/db/mount`,
    },
    reason: 'InvalidRequest',
    message: /target_path/,
  },
  {
    what: 'the target path of another pod',
    request: { targetPath: targetPathOf(OTHER_UID) },
    reason: 'PodMismatch',
    message: /target_path names pod uid "99999999/,
  },
  {
    what: 'the target path of another volume',
    request: { targetPath: targetPathOf(POD_UID, 'other') },
    reason: 'PodMismatch',
    message: /volume_id is not that of volume "other"/,
  },
  {
    what: 'the volume id of another volume',
    request: { volumeId: volumeIdOf(POD_UID, 'other') },
    reason: 'PodMismatch',
    message: /volume_id/,
  },
  {
    what: 'the volume id of another pod',
    request: { volumeId: volumeIdOf(OTHER_UID, 'db') },
    reason: 'PodMismatch',
    message: /volume_id/,
  },
  {
    what: 'a volume id that kubelet would not make',
    request: { volumeId: 'csi-db' },
    reason: 'PodMismatch',
    message: /volume_id/,
  },
  {
    what: 'another pod uid',
    request: pod({ uid: OTHER_UID }),
    reason: 'PodMismatch',
    message: /target_path names pod uid/,
  },
  {
    what: 'another namespace',
    request: pod({ namespace: 'other' }),
    reason: 'PodMismatch',
    message: /namespace "shop", not "other"/,
  },
  {
    what: 'no namespace',
    request: pod({ namespace: '' }),
    reason: 'InvalidRequest',
    message: /pod\.namespace/,
  },
  {
    what: 'a namespace with a colon',
    request: pod({ namespace: 'shop:api' }),
    reason: 'InvalidRequest',
    message: /pod\.namespace/,
  },
  {
    what: 'another pod name',
    request: pod({ name: 'api-1' }),
    reason: 'PodMismatch',
    message: /names pod "api-0", not "api-1"/,
  },
  {
    what: 'no pod name',
    request: pod({ name: '' }),
    reason: 'InvalidRequest',
    message: /pod\.name/,
  },
  {
    what: 'another service account',
    request: pod({ serviceAccount: 'admin' }),
    reason: 'PodMismatch',
    message: /names user "system:serviceaccount:shop:api"/,
  },
  {
    what: 'no service account',
    request: pod({ serviceAccount: '' }),
    reason: 'InvalidRequest',
    message: /pod\.service_account/,
  },
  {
    what: 'a service account with a colon',
    request: pod({ serviceAccount: 'a:b' }),
    reason: 'InvalidRequest',
    message: /pod\.service_account/,
  },
  {
    what: 'no tokens',
    request: tokens(),
    reason: 'TokenMissing',
    message: /tokenRequests: \[\{audience: latchkey\}\]/,
  },
  {
    what: 'only tokens of other audiences',
    request: tokens(apiToken(), vaultToken()),
    reason: 'TokenMissing',
    message: /CSIDriver/,
  },
  {
    what: 'two tokens of our audience',
    request: tokens(ourToken(), ourToken()),
    reason: 'InvalidRequest',
    message: /tokens: two/,
  },
  {
    what: 'two tokens of another audience',
    request: tokens(ourToken(), vaultToken(), vaultToken()),
    reason: 'InvalidRequest',
    message: /tokens: two/,
  },
  {
    what: 'seventeen tokens',
    request: tokens(
      ...Array.from({ length: 17 }, (_, i) => ({ ...ourToken(), audience: `a${i}` })),
    ),
    reason: 'InvalidRequest',
    message: /tokens: more than 16/,
  },
  {
    what: 'our token unreadable',
    request: tokens(unreadable(AUDIENCE)),
    reason: 'TokenRejected',
    message: /not a JSON web token/,
  },
  {
    what: 'our token from another namespace',
    request: tokens(ourToken({ namespace: 'other' })),
    reason: 'PodMismatch',
    message: /audience "latchkey" names namespace/,
  },
  {
    what: 'our token from another pod',
    request: tokens(ourToken({ podUid: OTHER_UID })),
    reason: 'PodMismatch',
    message: /audience "latchkey" names pod uid/,
  },
  {
    what: 'our token from a service account of another uid',
    request: tokens(ourToken({ serviceAccountUid: OTHER_UID })),
    reason: 'PodMismatch',
    message: /service account uid/,
  },
  {
    what: 'another token unreadable',
    request: tokens(ourToken(), unreadable('vault')),
    reason: 'TokenRejected',
    message: /audience "vault" is not a JSON web token/,
  },
  {
    what: 'another token from another namespace',
    request: tokens(ourToken(), vaultToken({ namespace: 'other' })),
    reason: 'PodMismatch',
    message: /audience "vault" names namespace "other"/,
  },
  {
    what: 'another token from another pod',
    request: tokens(ourToken(), vaultToken({ podUid: OTHER_UID })),
    reason: 'PodMismatch',
    message: /audience "vault" names pod uid/,
  },
  {
    what: 'another token from another service account',
    request: tokens(ourToken(), vaultToken({ serviceAccountUid: OTHER_UID })),
    reason: 'PodMismatch',
    message: /audience "vault" names service account uid/,
  },
  {
    what: 'another token that is for yet another audience',
    request: tokens(ourToken(), vaultToken({ audiences: ['latchkey'] })),
    reason: 'TokenRejected',
    message: /audience "vault" is for another audience/,
  },
  {
    what: 'another token that has expired',
    request: tokens(ourToken(), vaultToken({ expiresAtSeconds: NOW_MS / 1000 - 1 })),
    reason: 'TokenRejected',
    message: /audience "vault" has expired/,
  },
  {
    what: 'another token that expires this very moment',
    request: tokens(ourToken(), vaultToken({ expiresAtSeconds: NOW_MS / 1000 })),
    reason: 'TokenRejected',
    message: /has expired/,
  },
  {
    what: "the API server's token from another pod",
    request: tokens(ourToken(), apiToken({ podUid: OTHER_UID })),
    reason: 'PodMismatch',
    message: /the token for the API server names pod uid/,
  },
  {
    what: "the API server's token expired",
    request: tokens(ourToken(), apiToken({ expiresAtSeconds: 1 })),
    reason: 'TokenRejected',
    message: /the API server has expired/,
  },
]

for (const { what, request, ...refusal } of BAD_REQUESTS) {
  test(`a request with ${what} is refused as ${refusal.reason}`, async (t) => {
    await assertRefused(t, attempt(requestOf(request)).workload, { what, ...refusal })
  })
}

// What only the API server can know is the name of the pod and of its service account.
const ASKED_FIRST: ReadonlySet<string> = new Set([
  'another pod name',
  'another service account',
  'our token from a service account of another uid',
])

for (const { what, request } of BAD_REQUESTS.filter(({ what }) => !ASKED_FIRST.has(what))) {
  test(`a request with ${what} never reaches the API server`, async (t) => {
    const { workload, reviews } = attempt(requestOf(request))
    await t.throwsAsync(workload)
    t.deepEqual(reviews, [])
  })
}

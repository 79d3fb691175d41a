import type { SecretBytes } from '../../../src/core/secret-bytes.ts'
import type { ServiceToken, VolumeRequest } from '../../../src/core/types.ts'
import { volumeIdOf } from '../../../src/core/volume-id.ts'
import { createAuthenticator } from '../../../src/daemon/identity/authenticator.ts'
import type { Workload } from '../../../src/daemon/identity/workload.ts'
import type { KubeClient, TokenReviewStatus } from '../../../src/daemon/kube/kube-client.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { SERVICE_ACCOUNT_UID, serviceTokenOf } from './pod-tokens.ts'
import type { PodClaims } from './pod-tokens.ts'

export const KUBELET_ROOT = '/var/lib/kubelet'
export const NODE = 'node-1'
export const AUDIENCE = 'latchkey'
export const API_SERVER = 'https://kubernetes.default.svc.cluster.local'
export const POD_UID = '11111111-2222-4333-8444-555555555555'
export const OTHER_UID = '99999999-8888-4777-8666-555555555555'
export const NOW_MS = Date.UTC(2026, 10, 21)
export const EXPIRES_AT_SECONDS = NOW_MS / 1000 + 600

export const CLAIMS: PodClaims = {
  namespace: 'shop',
  podName: 'api-0',
  podUid: POD_UID,
  serviceAccount: 'api',
  serviceAccountUid: SERVICE_ACCOUNT_UID,
  nodeName: NODE,
  audiences: [AUDIENCE],
  expiresAtSeconds: EXPIRES_AT_SECONDS,
}

export function ourToken(changes: Partial<PodClaims> = {}): ServiceToken {
  return serviceTokenOf(AUDIENCE, { ...CLAIMS, ...changes })
}

export function apiToken(changes: Partial<PodClaims> = {}): ServiceToken {
  return serviceTokenOf('', { ...CLAIMS, audiences: [API_SERVER], ...changes })
}

export function vaultToken(changes: Partial<PodClaims> = {}): ServiceToken {
  return serviceTokenOf('vault', { ...CLAIMS, audiences: ['vault'], ...changes })
}

export function targetPathOf(podUid: string, volumeName = 'db'): string {
  return `${KUBELET_ROOT}/pods/${podUid}/volumes/kubernetes.io~csi/${volumeName}/mount`
}

/** A request that is right in every point, changed in those that are given. */
export function requestOf(changes: Partial<VolumeRequest> = {}): VolumeRequest {
  return {
    volumeId: volumeIdOf(POD_UID, 'db'),
    targetPath: targetPathOf(POD_UID),
    pod: { namespace: 'shop', name: 'api-0', uid: POD_UID, serviceAccount: 'api' },
    tokens: [ourToken(), apiToken(), vaultToken()],
    attributes: new Map([['secret', 'db']]),
    fsGroup: undefined,
    ...changes,
  }
}

export const EXTRA: Readonly<Record<string, readonly string[]>> = {
  'authentication.kubernetes.io/credential-id': ['JTI=bf0ad224-e1a3-4c04-b281-fe272685be7f'],
  'authentication.kubernetes.io/node-name': [NODE],
  'authentication.kubernetes.io/node-uid': ['734c5485-2f7b-4fc0-8d1f-7236df9472b1'],
  'authentication.kubernetes.io/pod-name': ['api-0'],
  'authentication.kubernetes.io/pod-uid': [POD_UID],
}

/** What an API server answers to the right token, changed in the points that are given. */
export function statusOf(changes: Partial<TokenReviewStatus> = {}): TokenReviewStatus {
  return {
    authenticated: true,
    audiences: [AUDIENCE],
    username: 'system:serviceaccount:shop:api',
    userUid: SERVICE_ACCOUNT_UID,
    extra: new Map(Object.entries(EXTRA)),
    error: '',
    ...changes,
  }
}

/** The extra keys with one of them set, or taken away. */
export function extraWith(
  key: string,
  values: readonly string[] | undefined,
): Map<string, readonly string[]> {
  const extra = new Map(Object.entries(EXTRA))
  if (values === undefined) extra.delete(`authentication.kubernetes.io/${key}`)
  else extra.set(`authentication.kubernetes.io/${key}`, values)
  return extra
}

export interface Review {
  readonly token: string
  readonly audiences: readonly string[]
}

export interface Attempt {
  readonly workload: Promise<Workload>
  /** What the API server was asked. */
  readonly reviews: readonly Review[]
}

/** Authenticates a request before an API server that answers `status`. */
export function attempt(
  request: VolumeRequest = requestOf(),
  status: TokenReviewStatus = statusOf(),
): Attempt {
  const reviews: Review[] = []
  const kube: Pick<KubeClient, 'reviewToken'> = {
    reviewToken(token, audiences) {
      reviews.push({ token: textOf(token), audiences })
      return Promise.resolve(status)
    },
  }
  const authenticator = createAuthenticator({
    kube,
    nodeName: NODE,
    audience: AUDIENCE,
    kubeletRoot: KUBELET_ROOT,
    clock: new FakeClock(NOW_MS),
    timeoutMs: 5_000,
  })
  const workload = authenticator.authenticate(request, new AbortController().signal)
  return { workload, reviews }
}

export function textOf(token: SecretBytes): string {
  return token.use((bytes) => bytes.toString())
}

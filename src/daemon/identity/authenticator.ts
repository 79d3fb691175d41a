import type { Clock } from '../../core/clock.ts'
import { LatchkeyError } from '../../core/errors.ts'
import { quoted } from '../../core/foreign-text.ts'
import { isDnsLabel, isDnsSubdomain } from '../../core/kube-names.ts'
import { parseTargetPath } from '../../core/target-path.ts'
import type { Pod, ServiceToken, VolumeRequest } from '../../core/types.ts'
import { volumeIdOf } from '../../core/volume-id.ts'
import type { KubeClient } from '../kube/kube-client.ts'
import { SharedReviews } from './shared-reviews.ts'
import { checkEqual, readTokenSet } from './token-set.ts'
import type { ClaimedToken, TokenSet } from './token-set.ts'
import { judgeReview } from './token-verdict.ts'
import type { Workload } from './workload.ts'

export interface AuthenticatorOptions {
  readonly kube: Pick<KubeClient, 'reviewToken'>
  /** This node, as the API server calls it. */
  readonly nodeName: string
  /** The audience that is ours alone; a token for any other is no proof here. */
  readonly audience: string
  /** kubelet's root folder, absolute, without a slash at the end. */
  readonly kubeletRoot: string
  readonly clock: Clock
  /** Bounds the review. */
  readonly timeoutMs: number
}

export interface Authenticator {
  /**
   * Proves which pod asks: names in the request are claims, held against a token that the API server
   * has reviewed. There is no other way to be somebody here. What the API server says of a token is shared
   * by those who bring it at the same time, or a moment later; what a request claims is checked each time.
   *
   * Throws: InvalidRequest · TokenMissing · TokenRejected · PodMismatch · KubeUnavailable · Timeout ·
   * the signal's reason.
   */
  authenticate(request: VolumeRequest, signal: AbortSignal): Promise<Workload>
}

export function createAuthenticator(options: AuthenticatorOptions): Authenticator {
  const { kube, nodeName, audience, kubeletRoot, clock, timeoutMs } = options
  const reviewToken: KubeClient['reviewToken'] = (...asked) => kube.reviewToken(...asked)
  const reviews = new SharedReviews({ reviewToken, clock, timeoutMs })
  return {
    async authenticate(request, signal) {
      // What costs nothing comes first, so that a storm of bad requests never reaches the API server.
      checkPodNames(request.pod)
      checkVolume(request, kubeletRoot)
      const tokens = readTokenSet(request.tokens, request.pod, audience, clock.now())
      const { token } = tokens.reviewed.token
      const status = await reviews.review(token, [audience], signal)
      const userUid = judgeReview(status, { audience, nodeName, pod: request.pod, token })
      return toWorkload(request.pod, userUid, tokens)
    },
  }
}

/** Binds the claimed pod to the place where the volume is to appear. */
function checkVolume({ volumeId, targetPath, pod }: VolumeRequest, kubeletRoot: string): void {
  const target = parseTargetPath(targetPath, kubeletRoot)
  checkEqual('target_path', 'pod uid', target.podUid, pod.uid)
  if (volumeId !== volumeIdOf(pod.uid, target.volumeName)) {
    throw new LatchkeyError(
      'PodMismatch',
      `volume_id is not that of volume ${quoted(target.volumeName)} of pod uid ${quoted(pod.uid)}`,
    )
  }
}

// The verdict on everything that came along hangs on the reviewed token: only now is it known that the
// service account uid, which they all carry, is that of this pod.
function toWorkload(pod: Pod, userUid: string, { reviewed, others }: TokenSet): Workload {
  const uid = reviewed.claims.serviceAccount.uid
  checkEqual('the reviewed token', 'service account uid', uid, userUid)
  const tokens = [reviewed, ...others].map((claimed) => [claimed.token.audience, dated(claimed)])
  return {
    pod: { ...pod },
    serviceAccountUid: userUid,
    expiresAtMs: reviewed.claims.expiresAtMs,
    tokens: new Map(tokens as [string, ServiceToken][]),
  }
}

/** A token with the expiry that is signed into it, not the one that the request states beside it. */
function dated({ token, claims }: ClaimedToken): ServiceToken {
  return { ...token, expiresAtMs: claims.expiresAtMs }
}

// A colon in one of these would let two different accounts share one user name.
function checkPodNames({ namespace, name, serviceAccount }: Pod): void {
  const refuse = (field: string): never => {
    throw new LatchkeyError('InvalidRequest', `pod.${field}: is missing or not a Kubernetes name`)
  }
  if (!isDnsLabel(namespace)) refuse('namespace')
  if (!isDnsSubdomain(name)) refuse('name')
  if (!isDnsSubdomain(serviceAccount)) refuse('service_account')
}

import { LatchkeyError } from '../../core/errors.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'
import type { DaemonToken } from './daemon-token.ts'
import type { TokenReviewStatus } from './kube-client.ts'
import { collectBody } from './response-body.ts'
import { readReviewStatus, unreadableReview } from './review-status.ts'
import type { ApiResponse, Transport } from './transport.ts'

const PATH = '/apis/authentication.k8s.io/v1/tokenreviews'
// The answer repeats the token and adds a few claims.
const MAX_BODY_BYTES = 256 * 1024

export type ReviewToken = (
  token: SecretBytes,
  audiences: readonly string[],
  signal: AbortSignal,
) => Promise<TokenReviewStatus>

/**
 * TokenReview over our own connections, and without client-node's generated API: to make this one call it loads
 * the models of all of Kubernetes (docs/adr/0012).
 *
 * The function throws: KubeUnavailable · Timeout · ShuttingDown · the signal's reason.
 */
export function createTokenReviewer(transport: Transport, daemonToken: DaemonToken): ReviewToken {
  return async (token, audiences, signal) => {
    const bearer = await daemonToken.read()
    const response = await transport.send(
      'daemon',
      {
        method: 'POST',
        path: PATH,
        headers: {
          'content-type': 'application/json',
          accept: 'application/json',
          ...(bearer === undefined ? {} : { authorization: `Bearer ${textOf(bearer)}` }),
        },
        body: JSON.stringify(reviewOf(token, audiences)),
      },
      signal,
    )
    if (response.status === 401) daemonToken.forget()
    const body = await collectBody(response.body, MAX_BODY_BYTES, signal)
    try {
      if (response.status !== 200 && response.status !== 201) throw refusal(response)
      return readReviewStatus(statusIn(response, body), token)
    } finally {
      body.fill(0)
    }
  }
}

/** authentication.k8s.io/v1. */
function reviewOf(token: SecretBytes, audiences: readonly string[]): object {
  return {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenReview',
    spec: { token: textOf(token), audiences: [...audiences] },
  }
}

function statusIn({ contentType }: ApiResponse, body: Buffer): unknown {
  if (!/^application\/json\b/.test(contentType)) throw unreadableReview()
  try {
    const review: unknown = JSON.parse(body.toString())
    if (typeof review === 'object' && review !== null && 'status' in review) return review.status
  } catch {
    // What the parser throws quotes the answer, and the answer repeats the token.
  }
  throw unreadableReview()
}

function textOf(token: SecretBytes): string {
  return token.use((bytes) => bytes.toString('latin1'))
}

// None of these is the fault of the pod whose token was to be reviewed.
function refusal({ status }: ApiResponse): LatchkeyError {
  const why =
    status === 401
      ? "the API server does not accept the daemon's own credentials"
      : status === 403
        ? 'the daemon may not create tokenreviews: its ClusterRole or ClusterRoleBinding is missing'
        : `the API server answered a TokenReview with ${status}`
  return new LatchkeyError('KubeUnavailable', why)
}

import {
  AuthenticationV1Api,
  ResponseContext,
  ServerConfiguration,
  V1TokenReview,
  createConfiguration,
  wrapHttpLibrary,
} from '@kubernetes/client-node'
import type { HttpLibrary, RequestContext } from '@kubernetes/client-node'
import { LatchkeyError } from '../../core/errors.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'
import type { DaemonToken } from './daemon-token.ts'
import type { TokenReviewStatus } from './kube-client.ts'
import { collectBody } from './response-body.ts'
import { readReviewStatus, unreadableReview } from './review-status.ts'
import type { ApiResponse, Transport } from './transport.ts'

// The answer repeats the token and adds a few claims.
const MAX_BODY_BYTES = 256 * 1024

export type ReviewToken = (
  token: SecretBytes,
  audiences: readonly string[],
  signal: AbortSignal,
) => Promise<TokenReviewStatus>

/**
 * TokenReview by client-node's generated API, over our own connections: as shipped it opens a new one
 * for each call, follows redirects, and puts whole answers into its errors.
 *
 * The function throws: KubeUnavailable · Timeout · ShuttingDown · the signal's reason.
 */
export function createTokenReviewer(transport: Transport, daemonToken: DaemonToken): ReviewToken {
  // Only paths are taken from what the API builds; where they lead is the transport's business.
  const baseServer = new ServerConfiguration('https://api.invalid', {})
  const api = new AuthenticationV1Api(createConfiguration({ baseServer }))
  return async (token, audiences, signal) => {
    const body = Object.assign(new V1TokenReview(), {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenReview',
      spec: { token: textOf(token), audiences: [...audiences] },
    })
    const httpApi = createHttpLibrary(transport, daemonToken, signal)
    try {
      const review: { readonly status?: unknown } = await api.createTokenReview(
        { body },
        { httpApi },
      )
      return readReviewStatus(review.status, token)
    } catch (thrown) {
      signal.throwIfAborted()
      if (thrown instanceof LatchkeyError) throw thrown
      // What the generated code throws quotes the answer, and the answer repeats the token.
      throw unreadableReview()
    }
  }
}

function createHttpLibrary(
  transport: Transport,
  daemonToken: DaemonToken,
  signal: AbortSignal,
): HttpLibrary {
  return wrapHttpLibrary({
    async send(context) {
      const bearer = await daemonToken.read()
      const response = await transport.send(
        'daemon',
        {
          method: 'POST',
          path: pathOf(context),
          headers: {
            'content-type': 'application/json',
            accept: 'application/json',
            ...(bearer === undefined ? {} : { authorization: `Bearer ${textOf(bearer)}` }),
          },
          body: textBodyOf(context),
        },
        signal,
      )
      if (response.status === 401) daemonToken.forget()
      const body = await collectBody(response.body, MAX_BODY_BYTES, signal)
      const text = body.toString()
      body.fill(0)
      if (response.status !== 200 && response.status !== 201) throw refusal(response)
      return new ResponseContext(
        response.status,
        { 'content-type': response.contentType },
        {
          text: () => Promise.resolve(text),
          binary: () => Promise.resolve(Buffer.from(text)),
          stream: () => null,
        },
      )
    },
  })
}

function pathOf(context: RequestContext): string {
  const { pathname, search } = new URL(context.getUrl())
  return pathname + search
}

function textBodyOf(context: RequestContext): string {
  const body = context.getBody()
  if (typeof body !== 'string') throw new LatchkeyError('Internal', 'a TokenReview without a text')
  return body
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

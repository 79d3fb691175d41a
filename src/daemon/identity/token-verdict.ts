import { LatchkeyError } from '../../core/errors.ts'
import { cleaned, quoted } from '../../core/foreign-text.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'
import type { Pod } from '../../core/types.ts'
import type { TokenReviewStatus } from '../kube/kube-client.ts'
import { checkEqual } from './token-set.ts'

const EXTRA_PREFIX = 'authentication.kubernetes.io/'
const MAX_ERROR_CHARS = 300

/** What a review has to confirm. */
export interface Expected {
  readonly audience: string
  readonly nodeName: string
  readonly pod: Pod
  /** The token under review, to be struck out of the API server's words should they hold it. */
  readonly token: SecretBytes
}

/**
 * Holds the API server's verdict on a token against the pod that the request claims to be of, and
 * answers the uid of its service account. Everything has to be said: what is missing counts as no.
 *
 * Throws: TokenRejected · PodMismatch.
 */
export function judgeReview(status: TokenReviewStatus, expected: Expected): string {
  checkAuthenticated(status, expected)
  const { namespace, serviceAccount, name, uid } = expected.pod
  const username = `system:serviceaccount:${namespace}:${serviceAccount}`
  checkEqual('the reviewed token', 'user', status.username, username)
  if (status.userUid === '') {
    throw new LatchkeyError('PodMismatch', 'the review names no uid of the service account')
  }
  checkEqual('the reviewed token', 'pod uid', soleExtra(status, 'pod-uid', NOT_BOUND), uid)
  checkEqual('the reviewed token', 'pod', soleExtra(status, 'pod-name', NOT_BOUND), name)
  const nodeName = soleExtra(status, 'node-name', NO_NODE)
  checkEqual('the reviewed token', 'node', nodeName, expected.nodeName)
  return status.userUid
}

function checkAuthenticated(status: TokenReviewStatus, { audience, token }: Expected): void {
  const refuse = (why: string): never => {
    throw new LatchkeyError('TokenRejected', why)
  }
  if (!status.authenticated || status.error !== '') {
    const why = status.error === '' ? '' : `: ${cleaned(status.error, MAX_ERROR_CHARS, [token])}`
    refuse(`the API server rejects the pod's token${why}`)
  }
  // An API server (or a webhook behind it) that knows no audiences answers with none, and would say
  // yes to a token that was made for somebody else.
  if (!status.audiences.includes(audience)) {
    refuse(`the API server does not confirm audience ${quoted(audience)} for the pod's token`)
  }
}

const NOT_BOUND = 'it is not bound to a pod'
const NO_NODE = 'Kubernetes 1.30 or newer is needed, which binds tokens to nodes'

function soleExtra(status: TokenReviewStatus, key: string, meaning: string): string {
  const values = status.extra.get(EXTRA_PREFIX + key) ?? []
  const [value] = values
  if (value === undefined || value === '') {
    throw new LatchkeyError('PodMismatch', `the reviewed token names no ${key}: ${meaning}`)
  }
  if (values.length > 1) {
    throw new LatchkeyError('PodMismatch', `the reviewed token names more than one ${key}`)
  }
  return value
}

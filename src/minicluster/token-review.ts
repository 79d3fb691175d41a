import type { Answer } from './answer.ts'
import { badRequest, jsonAnswer, NO_SUCH_METHOD, statusAnswer } from './answer.ts'
import { JSON_TYPE } from './media-type.ts'
import type { TokenIssuer, TokenVerdict } from './tokens.ts'

export interface TokenReviewRequest {
  readonly method: string
  readonly contentType: string
  readonly body: Buffer
}

const API_VERSION = 'authentication.k8s.io/v1'

interface ReviewSpec {
  readonly token: string
  /** Empty: the API server's own. */
  readonly audiences: readonly string[]
}

/** POST /apis/authentication.k8s.io/v1/tokenreviews, in JSON. */
export function answerTokenReview(request: TokenReviewRequest, tokens: TokenIssuer): Answer {
  if (request.method !== 'POST') return statusAnswer(NO_SUCH_METHOD, 'json')
  if (!request.contentType.startsWith(JSON_TYPE)) {
    const message = `the body of the request was in an unknown format - accepted media types include: ${JSON_TYPE}`
    return statusAnswer({ code: 415, message, reason: 'UnsupportedMediaType' }, 'json')
  }
  const spec = readSpec(request.body)
  if (typeof spec === 'string') return statusAnswer(badRequest(spec), 'json')
  const verdict = tokens.judge(Buffer.from(spec.token), spec.audiences)
  return jsonAnswer(201, {
    kind: 'TokenReview',
    apiVersion: API_VERSION,
    metadata: {},
    // A real API server hands the token back, too.
    spec: {
      token: spec.token,
      ...(spec.audiences.length === 0 ? {} : { audiences: spec.audiences }),
    },
    status: statusOf(verdict),
  })
}

function statusOf(verdict: TokenVerdict): object {
  if (verdict.user === undefined) return { user: {}, error: verdict.error }
  const { name: username, uid, groups, extra } = verdict.user
  return {
    authenticated: true,
    user: { username, uid, groups, extra },
    audiences: verdict.audiences,
  }
}

/** Answers the complaint where it cannot be read, which never quotes the body. */
function readSpec(body: Buffer): ReviewSpec | string {
  let review: unknown
  try {
    review = JSON.parse(body.toString())
  } catch {
    return 'the object provided is unrecognized (must be of type TokenReview)'
  }
  const { kind = 'TokenReview', apiVersion = API_VERSION, spec } = asObject(review)
  if (kind !== 'TokenReview' || apiVersion !== API_VERSION) {
    return `the object provided is unrecognized (must be of type TokenReview in ${API_VERSION})`
  }
  const { token = '', audiences = [] } = asObject(spec)
  if (typeof token !== 'string' || token === '') {
    return 'token is required for TokenReview in authentication'
  }
  if (!Array.isArray(audiences)) return 'spec.audiences is no list'
  const texts = audiences.filter((audience) => typeof audience === 'string')
  return texts.length === audiences.length
    ? { token, audiences: texts }
    : 'spec.audiences: no texts'
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

import { LatchkeyError } from '../../core/errors.ts'
import { cleaned } from '../../core/foreign-text.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'
import { readStatusMessage } from './api-status.ts'
import type { SecretRef } from './kube-client.ts'
import { collectBody } from './response-body.ts'
import type { ApiResponse } from './transport.ts'

export interface Asked {
  readonly ref: SecretRef
  readonly verb: 'read' | 'watch'
  readonly podToken: SecretBytes
}

const MAX_STATUS_BYTES = 64 * 1024
const MAX_MESSAGE_CHARS = 512

/**
 * The error for an answer other than 200 to a call with a pod's token. Reads the body to its end.
 *
 * Answers: TokenRejected (401) · AccessDenied (403), in the API server's words · SecretNotFound (404) ·
 * KubeUnavailable for all else.
 */
export async function secretRefusal(
  response: ApiResponse,
  asked: Asked,
  signal: AbortSignal,
): Promise<LatchkeyError> {
  const { namespace, name } = asked.ref
  switch (response.status) {
    case 401:
      await discard(response, signal)
      return new LatchkeyError(
        'TokenRejected',
        "the API server does not accept the pod's token for its own audience",
      )
    case 403: {
      const message = await readMessage(response, asked.podToken, signal)
      const fallback = `the pod may not ${asked.verb} Secret "${name}" in namespace "${namespace}"`
      return new LatchkeyError('AccessDenied', message === '' ? fallback : message)
    }
    case 404:
      await discard(response, signal)
      return new LatchkeyError(
        'SecretNotFound',
        `Secret "${name}" does not exist in namespace "${namespace}": create it or mend its name in the volume`,
      )
    default:
      await discard(response, signal)
      return new LatchkeyError(
        'KubeUnavailable',
        `the API server answered ${response.status} when asked to ${asked.verb} a Secret`,
      )
  }
}

async function readMessage(
  response: ApiResponse,
  podToken: SecretBytes,
  signal: AbortSignal,
): Promise<string> {
  const body = await collectQuietly(response, signal)
  return cleaned(readStatusMessage(body), MAX_MESSAGE_CHARS, [podToken])
}

/** An unread body would keep its connection busy. */
async function discard(response: ApiResponse, signal: AbortSignal): Promise<void> {
  await collectQuietly(response, signal)
}

// The status has said what matters; a body that is too long or breaks off changes nothing of it.
async function collectQuietly({ body }: ApiResponse, signal: AbortSignal): Promise<Buffer> {
  try {
    return await collectBody(body, MAX_STATUS_BYTES, signal)
  } catch {
    signal.throwIfAborted()
    return Buffer.alloc(0)
  }
}

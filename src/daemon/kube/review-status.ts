import { LatchkeyError } from '../../core/errors.ts'
import { cleaned } from '../../core/foreign-text.ts'
import type { SecretBytes } from '../../core/secret-bytes.ts'
import type { TokenReviewStatus } from './kube-client.ts'

const MAX_ERROR_CHARS = 512

type JsonObject = Readonly<Record<string, unknown>>

/**
 * The status of a TokenReview. Nothing is taken for granted that an identity hangs on, not even the
 * types of an answer. `token` is struck out of the API server's words.
 *
 * Throws: KubeUnavailable.
 */
export function readReviewStatus(status: unknown, token: SecretBytes): TokenReviewStatus {
  const fields = asObject(status)
  const user = asObject(fields['user'] ?? {})
  return {
    authenticated: asBoolean(fields['authenticated'] ?? false),
    audiences: asTexts(fields['audiences'] ?? []),
    username: asText(user['username'] ?? ''),
    userUid: asText(user['uid'] ?? ''),
    extra: new Map(
      Object.entries(asObject(user['extra'] ?? {})).map(([key, values]) => [key, asTexts(values)]),
    ),
    error: cleaned(asText(fields['error'] ?? ''), MAX_ERROR_CHARS, [token]),
  }
}

function asObject(value: unknown): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw unreadableReview()
  return value as JsonObject
}

function asText(value: unknown): string {
  if (typeof value !== 'string') throw unreadableReview()
  return value
}

function asBoolean(value: unknown): boolean {
  if (typeof value !== 'boolean') throw unreadableReview()
  return value
}

function asTexts(value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw unreadableReview()
  return value.map(asText)
}

export function unreadableReview(): LatchkeyError {
  return new LatchkeyError('KubeUnavailable', "the API server's TokenReview could not be read")
}

import { LatchkeyError } from '../../core/errors.ts'
import {
  MAX_ATTRIBUTE_BYTES,
  MAX_ATTRIBUTES,
  MAX_TOKEN_BYTES,
  MAX_TOKENS,
  MAX_USER_OR_GROUP_ID,
} from '../../core/limits.ts'
import { SecretBytes } from '../../core/secret-bytes.ts'
import type { Pod, ServiceToken, VolumeRequest } from '../../core/types.ts'
import type { Open__Output } from '../../wire/gen/latchkey/mount/v1/Open.ts'
import type { Token__Output } from '../../wire/gen/latchkey/mount/v1/Token.ts'
import { readBookmark, type Bookmark } from '../refresh/bookmark.ts'
import { MAX_HOLD_MS } from '../../wire/limits.ts'

export interface OpenRequest {
  readonly volume: VolumeRequest
  readonly holdMs: number
  /** Of an earlier daemon. */
  readonly bookmark: Bookmark | undefined
}

/** Checks the shape of an Open; what it claims is checked against the reviewed token later. Throws: InvalidRequest. */
export function parseOpen(open: Open__Output): OpenRequest {
  if (open.volumeId === '') refuse('volume_id', 'is missing')
  if (open.targetPath === '') refuse('target_path', 'is missing')
  if (open.holdMs > MAX_HOLD_MS) refuse('hold_ms', `is more than ${MAX_HOLD_MS}`)
  if (open.fsGroup !== undefined && open.fsGroup > MAX_USER_OR_GROUP_ID)
    refuse('fs_group', 'is no group id')
  return {
    volume: {
      volumeId: open.volumeId,
      targetPath: open.targetPath,
      pod: parsePod(open),
      tokens: parseTokens(open.tokens),
      attributes: parseAttributes(open.attributes),
      fsGroup: open._fsGroup === undefined ? undefined : open.fsGroup,
    },
    holdMs: open.holdMs,
    bookmark: parseBookmark(open.bookmark),
  }
}

/** undefined where there is none, or none that can be read. The message's own bytes are zeroed. */
export function parseBookmark(bytes: Buffer): Bookmark | undefined {
  const bookmark = readBookmark(bytes)
  bytes.fill(0)
  return bookmark
}

/** Throws: InvalidRequest. */
export function parseTokens(tokens: readonly Token__Output[]): readonly ServiceToken[] {
  if (tokens.length > MAX_TOKENS) refuse('tokens', `are more than ${MAX_TOKENS}`)
  const audiences = new Set(tokens.map(({ audience }) => audience))
  if (audiences.size < tokens.length) refuse('tokens', 'name an audience twice')
  return tokens.map(({ audience, token, expiresAtMs }, index) => {
    if (token.length === 0) refuse(`tokens[${index}].token`, 'is empty')
    if (token.length > MAX_TOKEN_BYTES) {
      refuse(`tokens[${index}].token`, `is longer than ${MAX_TOKEN_BYTES} bytes`)
    }
    const own = SecretBytes.copyOf(token)
    // The message's own bytes are not needed any more.
    token.fill(0)
    return { audience, token: own, expiresAtMs }
  })
}

function parsePod({ pod }: Open__Output): Pod {
  if (pod === null) return refuse('pod', 'is missing')
  const { namespace, name, uid, serviceAccount } = pod
  if (namespace === '') refuse('pod.namespace', 'is missing')
  if (name === '') refuse('pod.name', 'is missing')
  if (uid === '') refuse('pod.uid', 'is missing')
  if (serviceAccount === '') refuse('pod.service_account', 'is missing')
  return { namespace, name, uid, serviceAccount }
}

function parseAttributes(attributes: Record<string, string>): ReadonlyMap<string, string> {
  const entries = Object.entries(attributes)
  const bytes = entries.reduce(
    (sum, [k, v]) => sum + Buffer.byteLength(k) + Buffer.byteLength(v),
    0,
  )
  if (entries.length > MAX_ATTRIBUTES) refuse('volumeAttributes', `are more than ${MAX_ATTRIBUTES}`)
  if (bytes > MAX_ATTRIBUTE_BYTES) {
    refuse('volumeAttributes', `are longer than ${MAX_ATTRIBUTE_BYTES} bytes together`)
  }
  return new Map(entries)
}

function refuse(field: string, why: string): never {
  throw new LatchkeyError('InvalidRequest', `${field} ${why}`)
}

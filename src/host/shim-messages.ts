import type { LatchkeyError } from '../core/errors.ts'
import type { ServiceToken, VolumeRequest } from '../core/types.ts'
import type { ShimMessage } from '../wire/gen/latchkey/mount/v1/ShimMessage.ts'
import type { Token } from '../wire/gen/latchkey/mount/v1/Token.ts'
import type { Volume } from './volume/volume-store.ts'

/** `bookmark`: a copy, which is zeroed once the message is sent. */
export function openMessage(request: VolumeRequest, holdMs: number, bookmark: Buffer): ShimMessage {
  return {
    open: {
      volumeId: request.volumeId,
      targetPath: request.targetPath,
      pod: request.pod,
      tokens: request.tokens.map(toWireToken),
      attributes: Object.fromEntries(request.attributes),
      ...(request.fsGroup === undefined ? {} : { fsGroup: request.fsGroup }),
      holdMs,
      bookmark,
    },
  }
}

export function resumeMessage(volume: Volume, digest: Buffer): ShimMessage {
  return { resume: { volumeId: volume.volumeId, targetPath: volume.targetPath, digest } }
}

export function tokensMessage(tokens: readonly ServiceToken[]): ShimMessage {
  return { tokens: { tokens: tokens.map(toWireToken) } }
}

export function committedMessage(generation: number): ShimMessage {
  return { committed: { generation } }
}

export function failedMessage(generation: number, error: LatchkeyError): ShimMessage {
  return { failed: { generation, reason: error.reason, message: error.message } }
}

export function unmountedMessage(): ShimMessage {
  return { unmounted: {} }
}

export function unattendedMessage(): ShimMessage {
  return { unattended: {} }
}

export function notedMessage(): ShimMessage {
  return { noted: {} }
}

/** `bookmark`: a copy, which is zeroed once the message is sent. */
export function farewellMessage(volumeId: string, bookmark: Buffer): ShimMessage {
  return { farewell: { volumeId, bookmark } }
}

function toWireToken({ audience, token, expiresAtMs }: ServiceToken): Token {
  // A copy: the message is serialised later, when newer tokens may have had these wiped.
  return { audience, token: token.use((bytes) => Buffer.from(bytes)), expiresAtMs }
}

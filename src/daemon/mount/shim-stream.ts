import { LatchkeyError } from '../../core/errors.ts'
import type { VolumeFile } from '../../core/types.ts'
import type { DaemonMessage } from '../../wire/gen/latchkey/mount/v1/DaemonMessage.ts'
import type { ShimMessage__Output } from '../../wire/gen/latchkey/mount/v1/ShimMessage.ts'

/** One Mount call, seen from the daemon. */
export interface ShimStream {
  /** Ends when the shim hangs up. */
  receive(): AsyncIterable<ShimMessage__Output, void>
  /** Resolves when the message has been handed to the transport. */
  send(message: DaemonMessage): Promise<void>
  /** Aborts when the call is over, for whatever cause. */
  readonly closed: AbortSignal
}

/** The shim's words in order. */
export type Words = AsyncIterator<ShimMessage__Output, void>

/** Throws: InvalidRequest where the stream ends without a word. */
export async function firstWord(words: Words): Promise<ShimMessage__Output> {
  const next = await words.next()
  if (next.done === true) {
    throw new LatchkeyError('InvalidRequest', 'the stream ended before Open')
  }
  return next.value
}

export function contentsMessage(
  generation: number,
  files: readonly VolumeFile[],
  digest: Buffer,
  needed: readonly string[],
): DaemonMessage {
  return {
    contents: {
      generation,
      files: files.map(({ path, data, mode, ownerUid }) => ({
        path,
        data: data.use((bytes) => bytes),
        mode,
        ownerUid,
      })),
      digest,
      needed: { names: [...needed] },
    },
  }
}

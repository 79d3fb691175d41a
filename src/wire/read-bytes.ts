import { StreamDecoder } from '@grpc/grpc-js/build/src/stream-decoder.js'

/** What grpc-js's decoder has of a stream, as of 1.14; a test notices when that is not so any more. */
interface Inside {
  readState: number
  readPartialMessage: Buffer[]
  readCompressFlag: Buffer
}

/** Between two messages. */
const NO_DATA = 0
const WIPES = Symbol('wipes what it has read')

/**
 * From here on the bytes that grpc-js reads from a socket are zeroed and let go of once a message has been put
 * together from them. It would keep them until the same stream brings another message: a volume's files in clear,
 * and their size once more, for as long as the volume lives and does not change.
 */
export function wipeReadBytes(): void {
  const { prototype } = StreamDecoder
  if (WIPES in prototype) return
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its own `this` below
  const { write } = prototype
  const wiping = function (this: StreamDecoder, data: Buffer): Buffer[] {
    const inside = this as unknown as Inside
    const before = inside.readPartialMessage
    const messages = write.call(this, data)
    if (messages.length === 0) return messages
    // A view of what was read, of which the next piece of this message may have need.
    inside.readCompressFlag = Buffer.from(inside.readCompressFlag)
    for (const piece of before) piece.fill(0)
    if (inside.readState === NO_DATA) inside.readPartialMessage = []
    // Of a message that has begun there is only what came last, at the end.
    const begun = inside.readPartialMessage.reduce((sum, { length }) => sum + length, 0)
    data.fill(0, 0, data.length - begun)
    return messages
  }
  Object.assign(prototype, { write: wiping, [WIPES]: true })
}

import { MessageStream } from '../../../src/wire/message-stream.ts'
import type { CrashPoints } from './crash-points.ts'

const SCOPE = 'stream'

/** Words of a volume's stream; the heartbeat's have none, and come when they like. */
const KINDS = [
  'open',
  'resume',
  'tokens',
  'committed',
  'failed',
  'unmounted',
  'contents',
  'resumed',
  'withdraw',
  'bookmark',
  'noted',
  'farewell',
] as const

type AnyStream = MessageStream<object, object>

/** Makes every message of a volume's stream an event: before it is sent, when it is out, when it has come. */
export function watchStreams(points: CrashPoints): void {
  const prototype = MessageStream.prototype as AnyStream
  // Called on the stream at hand below.
  // eslint-disable-next-line @typescript-eslint/unbound-method
  const { send, receive } = prototype
  prototype.send = async function (this: AnyStream, message) {
    const kind = kindOf(message)
    if (kind !== undefined) points.meet(`send ${kind}`, SCOPE)
    await send.call(this, message)
    if (kind !== undefined) points.meet(`sent ${kind}`, SCOPE)
  }
  prototype.receive = async function* (this: AnyStream) {
    for await (const message of receive.call(this)) {
      const kind = kindOf(message)
      if (kind !== undefined) points.meet(`received ${kind}`, SCOPE)
      yield message
      if (kind !== undefined) points.meet(`dealt with ${kind}`, SCOPE)
    }
  }
}

function kindOf(message: object): string | undefined {
  const fields = message as Readonly<Record<string, unknown>>
  return KINDS.find((kind) => typeof fields[kind] === 'object' && fields[kind] !== null)
}

import { LatchkeyError } from '../../core/errors.ts'
import type { Open__Output } from '../../wire/gen/latchkey/mount/v1/Open.ts'
import type { Resume__Output } from '../../wire/gen/latchkey/mount/v1/Resume.ts'
import { parseItems } from '../sources/parse-items.ts'
import { collectOrHold } from './hold.ts'
import { parseOpen } from './open-request.ts'
import { Session, type StreamEnd } from './session.ts'
import { firstWord, type ShimStream, type Words } from './shim-stream.ts'
import type { Contents, Stages } from './stages.ts'

/**
 * The story of one volume's stream: who asks, what they may have, and then fresh contents for as long
 * as the stream lives. A stream that breaks leaves its session behind for a while; one that ends with
 * Unmounted leaves nothing.
 *
 * Throws: the reasons of the mount API's error table.
 */
export async function mount(stream: ShimStream, on: Stages): Promise<void> {
  const words = stream.receive()[Symbol.asyncIterator]()
  const first = await firstWord(words)
  if (first.open) return open(first.open, words, stream, on)
  if (first.resume) return resume(first.resume, words, stream, on)
  throw new LatchkeyError('InvalidRequest', 'the first message must be Open or Resume')
}

async function open(
  message: Open__Output,
  words: Words,
  stream: ShimStream,
  on: Stages,
): Promise<void> {
  const { volume, holdMs } = parseOpen(message)
  let session: Session
  let contents: Contents
  try {
    const items = parseItems(volume.attributes, on.grammars)
    const workload = await on.slots.run(stream.closed, () => on.authenticate(volume, stream.closed))
    contents = await collectOrHold({ volume, items, workload, holdMs }, on, stream.closed)
    // Only now does it take the place of an older stream: an Open that proves nothing displaces nobody.
    session = on.sessions.admit(new Session(volume, items, workload, on))
  } catch (thrown) {
    for (const { token } of volume.tokens) token.wipe()
    throw thrown
  }
  await keep(session, on, () => session.serve(stream, words, contents))
}

async function resume(
  message: Resume__Output,
  words: Words,
  stream: ShimStream,
  on: Stages,
): Promise<void> {
  const session = on.sessions.resume(message)
  await keep(session, on, () => session.resume(stream, words, message.digest))
}

async function keep(
  session: Session,
  on: Stages,
  serving: () => Promise<StreamEnd>,
): Promise<void> {
  let end: StreamEnd = 'broken'
  try {
    end = await serving()
  } finally {
    if (end === 'unmounted') on.sessions.forget(session)
    else on.sessions.detach(session)
  }
}

import { withDeadline } from '../../core/deadline.ts'
import { LatchkeyError } from '../../core/errors.ts'
import type { Farewell__Output } from '../../wire/gen/latchkey/mount/v1/Farewell.ts'
import type { Open__Output } from '../../wire/gen/latchkey/mount/v1/Open.ts'
import type { Resume__Output } from '../../wire/gen/latchkey/mount/v1/Resume.ts'
import type { ShimMessage__Output } from '../../wire/gen/latchkey/mount/v1/ShimMessage.ts'
import type { Workload } from '../identity/workload.ts'
import { wipeBookmark } from '../refresh/bookmark.ts'
import { Holdings } from '../refresh/holdings.ts'
import { parseItems } from '../sources/parse-items.ts'
import type { Wanted } from './collect-held.ts'
import { giveBack, giveBackLeft, giveBackNamed } from './give-back.ts'
import { keepNeeded } from './credentials.ts'
import { collectOrHold } from './hold.ts'
import { parseBookmark, parseOpen } from './open-request.ts'
import { Shim } from './shim.ts'
import { Session, type StreamEnd } from './session.ts'
import { firstWord, type ShimStream } from './shim-stream.ts'
import type { Contents, Stages } from './stages.ts'

/** A shim has its first message at hand when it calls; on a node that is short of time that takes its while. */
const FIRST_WORD_MS = 60_000

/**
 * The story of one volume's stream: who asks, what they may have, and then fresh contents for as long
 * as the stream lives. A stream that breaks leaves its session behind for a while; one that ends with
 * Unmounted leaves nothing.
 *
 * Throws: the reasons of the mount API's error table.
 */
export async function mount(stream: ShimStream, on: Stages): Promise<void> {
  const words = stream.receive()[Symbol.asyncIterator]()
  // Whoever opens streams and says nothing holds none of them for long.
  const hearing = (): Promise<ShimMessage__Output> => firstWord(words)
  const what = "the stream's first message"
  const first = await withDeadline(on.clock, FIRST_WORD_MS, what, stream.closed, hearing)
  const shim = new Shim(stream, words, on.clock)
  if (first.open) return open(first.open, shim, on)
  if (first.resume) return resume(first.resume, shim, on)
  if (first.farewell) return sayFarewell(first.farewell, on)
  throw new LatchkeyError('InvalidRequest', 'the first message must be Open, Resume or Farewell')
}

async function open(message: Open__Output, shim: Shim, on: Stages): Promise<void> {
  const { closed } = shim.stream
  const { volume, holdMs, bookmark } = parseOpen(message)
  let endOpen: (() => void) | undefined
  let wanted: Wanted | undefined
  let session: Session
  let contents: Contents
  try {
    const items = parseItems(volume.attributes, on.grammars)
    const authenticating = (): Promise<Workload> => on.authenticate(volume, closed)
    const proven = await on.slots.run(closed, authenticating, volume.pod.namespace)
    const workload = keepNeeded(proven, items, on)
    const older = holdingsOf(volume.volumeId, on)
    const holdings = older ?? Holdings.open(workload, items, on, bookmark)?.join()
    wanted = { workload, items, fsGroup: volume.fsGroup, holdings }
    if (older && bookmark) wipeBookmark(bookmark)
    endOpen = holdings && on.sessions.beginOpen(volume.volumeId, holdings)
    older?.offer(workload)
    contents = await collectOrHold({ ...wanted, holdMs }, on, shim, closed)
    // Only now does it take the place of an older stream: an Open that proves nothing displaces nobody.
    session = on.sessions.admit(new Session(volume, wanted, on))
  } catch (thrown) {
    for (const { token } of volume.tokens) token.wipe()
    // Nothing is given back: the shim has the bookmark, and comes again or says farewell.
    if (wanted?.holdings) leaveUnserved(volume.volumeId, wanted.holdings, on)
    throw thrown
  } finally {
    endOpen?.()
  }
  await keep(session, on, () => session.serve(shim, contents))
}

/** What the volume holds already, joined. */
function holdingsOf(volumeId: string, { sessions }: Stages): Holdings | undefined {
  return sessions.find(volumeId)?.holdings?.join() ?? sessions.unserved.take(volumeId)
}

function leaveUnserved(volumeId: string, holdings: Holdings, { sessions }: Stages): void {
  if (sessions.find(volumeId)?.holdings === holdings) holdings.drop()
  else sessions.unserved.keep(volumeId, holdings)
}

async function resume(message: Resume__Output, shim: Shim, on: Stages): Promise<void> {
  const session = on.sessions.resume(message)
  await keep(session, on, () => session.resume(shim, message.digest))
}

async function keep(
  session: Session,
  on: Stages,
  serving: () => Promise<StreamEnd>,
): Promise<void> {
  let end: StreamEnd = 'broken'
  let giving: Promise<void> | undefined
  try {
    end = await serving()
  } finally {
    if (end === 'unmounted') {
      giving = session.holdings && giveBack(session.holdings, on)
      on.sessions.forget(session)
    } else on.sessions.detach(session)
  }
  await giving
}

/** No daemon has acknowledged the end of a volume: gives back what its bookmark names. */
async function sayFarewell({ volumeId, bookmark }: Farewell__Output, on: Stages): Promise<void> {
  const named = parseBookmark(bookmark)
  await Promise.all([giveBackLeft(volumeId, on), named && giveBackNamed(volumeId, named, on)])
}
